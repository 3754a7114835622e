{{- /* Values that only fit together, or not at all; each message says what to change. */ -}}
{{- define "siad.checks" -}}
{{- $values := .Values -}}
{{- if $values.quickstart.enabled -}}
{{- with $values.kafka.bootstrap -}}
{{- fail (printf "kafka.bootstrap is %q and quickstart.enabled is true: the stages would use one broker, and the other would run for nothing. Nothing was installed. Leave out one of the two." .) -}}
{{- end -}}
{{- with $values.kafka.strimzi.cluster -}}
{{- fail (printf "kafka.strimzi.cluster is %q and quickstart.enabled is true: the quickstart's Kafka has no operator. Nothing was installed. Leave out one of the two." .) -}}
{{- end -}}
{{- with $values.store.endpointUrl -}}
{{- fail (printf "store.endpointUrl is %q and quickstart.enabled is true: the stages would use one store, and the other would run for nothing. Nothing was installed. Leave out one of the two." .) -}}
{{- end -}}
{{- with $values.store.existingSecret -}}
{{- fail (printf "store.existingSecret is %q and quickstart.enabled is true: the quickstart's store makes its own keys. Nothing was installed. Leave out one of the two." .) -}}
{{- end -}}
{{- else -}}
{{- if not (include "siad.bootstrap" .) -}}
{{- fail "kafka.bootstrap is empty, so there is no broker. Nothing was installed. Set it to host:port of your Kafka, or quickstart.enabled=true for a broker and a store of this chart." -}}
{{- end -}}
{{- if not $values.store.bucket -}}
{{- fail "store.bucket is empty, so there is no store. Nothing was installed. Set it to the name of your bucket, or quickstart.enabled=true for a broker and a store of this chart." -}}
{{- end -}}
{{- with $values.store.existingSecret -}}
{{- include "siad.requireSecret" (list $ "store.existingSecret" . (list $values.store.accessKeyName $values.store.secretKeyName)) -}}
{{- end -}}
{{- end -}}
{{- range $name := keys $values.stages | sortAlpha -}}
{{- $stage := include "siad.stageValues" (list $ $name) | fromJson -}}
{{- if and $stage.autoscaling.enabled $stage.keda.enabled -}}
{{- fail (printf "stages.%s: autoscaling and keda are both enabled, and each would undo what the other sets. Nothing was installed. Disable one of the two." $name) -}}
{{- end -}}
{{- include "siad.kafkaChecks" (list $ $stage $name) -}}
{{- with $stage.storeSecret -}}
{{- if $values.quickstart.enabled -}}
{{- fail (printf "stages.%s.storeSecret is %q and quickstart.enabled is true: the quickstart's store makes its own keys. Nothing was installed. Leave out one of the two." $name .) -}}
{{- end -}}
{{- include "siad.requireSecret" (list $ (printf "stages.%s.storeSecret" $name) . (list $values.store.accessKeyName $values.store.secretKeyName)) -}}
{{- end -}}
{{- $own := index $values.stages $name -}}
{{- if and (eq $name "console") (or $stage.autoscaling.enabled $stage.keda.enabled (gt (int $own.replicas) 1)) -}}
{{- fail "stages.console: the console runs as one pod, since it holds captures and sessions in memory. Nothing was installed. Leave replicas at 1 and scaling off." -}}
{{- end -}}
{{- if and (eq $name "ingest") $stage.keda.enabled -}}
{{- fail "stages.ingest.keda: ingest reads no topic whose lag could scale it. Nothing was installed. Use autoscaling." -}}
{{- end -}}
{{- range $setting, $_ := $stage.secretSettings -}}
{{- if hasKey $stage.settings $setting -}}
{{- fail (printf "stages.%s: %s is in settings and in secretSettings. Nothing was installed. Leave out one of the two." $name $setting) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Refuse a Secret that is missing, or lacks a key. List of the root, the value's name, the Secret's and its keys. */ -}}
{{- define "siad.requireSecret" -}}
{{- $root := index . 0 -}}
{{- $value := index . 1 -}}
{{- $name := index . 2 -}}
{{- $namespace := $root.Release.Namespace -}}
{{- /* an empty answer for the namespace's own account: there is no cluster to ask (helm template) */ -}}
{{- if lookup "v1" "ServiceAccount" $namespace "default" -}}
{{- $secret := lookup "v1" "Secret" $namespace $name -}}
{{- if not $secret -}}
{{- fail (printf "%s: there is no Secret %q in namespace %q. Nothing was installed. Create it: kubectl -n %s create secret generic %s --from-literal=%s=..." $value $name $namespace $namespace $name (join "=... --from-literal=" (index . 3))) -}}
{{- end -}}
{{- range $key := index . 3 -}}
{{- if not (hasKey (default dict $secret.data) $key) -}}
{{- fail (printf "%s: the Secret %q in namespace %q has no key %q. Nothing was installed. Add the key, or name the right one in the values beside it." $value $name $namespace $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
