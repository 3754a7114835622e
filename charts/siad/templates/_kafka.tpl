{{- /* Security of Kafka: account and certificates of a stage, from files that are mounted from Secrets. */ -}}

{{- /* kafka.security with the stage's own values in place. List of the root and the stage's values; as JSON. */ -}}
{{- define "siad.kafkaSecurity" -}}
{{- $security := deepCopy (index . 0).Values.kafka.security -}}
{{- range $key, $value := (index . 1).kafkaSecurity -}}
{{- $_ := set $security $key $value -}}
{{- end -}}
{{ toJson $security }}
{{- end -}}

{{- /* How a stage connects by the account that Strimzi makes for it. List of the root and the stage's name; as JSON. */ -}}
{{- define "siad.strimziSecurity" -}}
{{- $values := (index . 0).Values.kafka -}}
{{- $account := printf "%s-%s" (include "siad.name" (index . 0)) (index . 1) -}}
{{- $isScram := eq $values.strimzi.authentication "scram-sha-512" -}}
{{- $protocol := ternary (ternary "SASL_SSL" "SSL" $isScram) $values.security.protocol (eq $values.security.protocol "PLAINTEXT") -}}
{{- $security := dict "protocol" $protocol -}}
{{- if $isScram -}}
{{- $_ := merge $security (dict "mechanism" "SCRAM-SHA-512" "user" $account "passwordSecret" $account "passwordName" "password") -}}
{{- else -}}
{{- $_ := merge $security (dict "certSecret" $account "certName" "user.crt" "keyName" "user.key") -}}
{{- end -}}
{{- if and (hasSuffix "SSL" $protocol) (not $values.security.caSecret) -}}
{{- $_ := set $security "caSecret" (printf "%s-cluster-ca-cert" $values.strimzi.cluster) -}}
{{- end -}}
{{ toJson $security }}
{{- end -}}

{{- /* Same list as siad.kafkaSecurity. */ -}}
{{- define "siad.kafkaEnvironment" -}}
{{- $security := include "siad.kafkaSecurity" . | fromJson -}}
{{- if ne $security.protocol "PLAINTEXT" }}
{{ include "siad.setting" (list "SIAD_BUS_SECURITY_PROTOCOL" $security.protocol) }}
{{- if hasPrefix "SASL_" $security.protocol }}
{{ include "siad.setting" (list "SIAD_BUS_SASL_MECHANISM" $security.mechanism) }}
{{ include "siad.setting" (list "SIAD_BUS_SASL_USER" $security.user) }}
{{ include "siad.setting" (list "SIAD_BUS_SASL_PASSWORD_FILE" "/etc/siad-kafka/password") }}
{{- end }}
{{- if $security.caSecret }}
{{ include "siad.setting" (list "SIAD_BUS_TLS_CA_FILE" "/etc/siad-kafka/ca.crt") }}
{{- end }}
{{- if $security.certSecret }}
{{ include "siad.setting" (list "SIAD_BUS_TLS_CERT_FILE" "/etc/siad-kafka/tls.crt") }}
{{ include "siad.setting" (list "SIAD_BUS_TLS_KEY_FILE" "/etc/siad-kafka/tls.key") }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* The volume of those files; nothing without security. Same list as above. */ -}}
{{- define "siad.kafkaVolume" -}}
{{- $security := include "siad.kafkaSecurity" . | fromJson -}}
{{- if or $security.passwordSecret $security.caSecret $security.certSecret }}
- name: kafka-security
  projected:
    defaultMode: 0440
    sources:
      {{- if $security.passwordSecret }}
      - secret: {name: {{ $security.passwordSecret }}, items: [{key: {{ $security.passwordName }}, path: password}]}
      {{- end }}
      {{- if $security.caSecret }}
      - secret: {name: {{ $security.caSecret }}, items: [{key: {{ $security.caName }}, path: ca.crt}]}
      {{- end }}
      {{- if $security.certSecret }}
      - secret:
          name: {{ $security.certSecret }}
          items: [{key: {{ $security.certName }}, path: tls.crt}, {key: {{ $security.keyName }}, path: tls.key}]
      {{- end }}
{{- end }}
{{- end -}}

{{- /* What KEDA needs to read the lag. Same list as above, and the name of the stage's objects. */ -}}
{{- define "siad.kafkaTriggerAuthentication" -}}
{{- $security := include "siad.kafkaSecurity" . | fromJson -}}
{{- $name := index . 2 -}}
apiVersion: keda.sh/v1alpha1
kind: TriggerAuthentication
metadata:
  name: {{ $name }}
  labels:
    {{- include "siad.labels" (index . 0) | nindent 4 }}
spec:
  {{- if hasPrefix "SASL_" $security.protocol }}
  env:
    - {parameter: username, name: SIAD_BUS_SASL_USER}
  {{- end }}
  secretTargetRef:
    {{- if $security.passwordSecret }}
    - {parameter: password, name: {{ $security.passwordSecret }}, key: {{ $security.passwordName }}}
    {{- end }}
    {{- if $security.caSecret }}
    - {parameter: ca, name: {{ $security.caSecret }}, key: {{ $security.caName }}}
    {{- end }}
    {{- if $security.certSecret }}
    - {parameter: cert, name: {{ $security.certSecret }}, key: {{ $security.certName }}}
    - {parameter: key, name: {{ $security.certSecret }}, key: {{ $security.keyName }}}
    {{- end }}
{{- end -}}

{{- /* Values of a stage that do not fit. Same list as above, with the name of the stage. */ -}}
{{- define "siad.kafkaChecks" -}}
{{- $root := index . 0 -}}
{{- $security := include "siad.kafkaSecurity" . | fromJson -}}
{{- $protocol := $security.protocol -}}
{{- $where := printf "Kafka's security of %s (kafka.security, stages.%s.kafkaSecurity)" (index . 2) (index . 2) -}}
{{- if and $root.Values.quickstart.enabled (ne $protocol "PLAINTEXT") -}}
{{- fail (printf "%s: the protocol is %s, and the quickstart's Kafka speaks plain text only. Nothing was installed. Leave out kafka.security, or name a Kafka of your own." $where $protocol) -}}
{{- end -}}
{{- if hasPrefix "SASL_" $protocol -}}
{{- if or (not $security.user) (not $security.passwordSecret) -}}
{{- fail (printf "%s: the protocol is %s, and user or passwordSecret is empty. Nothing was installed. Set both." $where $protocol) -}}
{{- end -}}
{{- if and (eq $protocol "SASL_PLAINTEXT") (eq $security.mechanism "PLAIN") -}}
{{- fail (printf "%s: PLAIN would send the password in clear text. Nothing was installed. Use a SCRAM mechanism, or protocol SASL_SSL." $where) -}}
{{- end -}}
{{- else if or $security.user $security.passwordSecret -}}
{{- fail (printf "%s: user and passwordSecret have no effect with protocol %s. Nothing was installed. Set the protocol to SASL_SSL, or leave them out." $where $protocol) -}}
{{- end -}}
{{- if and (not (hasSuffix "SSL" $protocol)) (or $security.caSecret $security.certSecret) -}}
{{- fail (printf "%s: caSecret and certSecret have no effect with protocol %s. Nothing was installed. Set the protocol to SSL or SASL_SSL, or leave them out." $where $protocol) -}}
{{- end -}}
{{- if not $root.Values.kafka.strimzi.cluster -}}{{- /* its operator makes them after the installation */ -}}
{{- with $security.passwordSecret -}}
{{- include "siad.requireSecret" (list $root "passwordSecret of kafka.security" . (list $security.passwordName)) -}}
{{- end -}}
{{- with $security.caSecret -}}
{{- include "siad.requireSecret" (list $root "caSecret of kafka.security" . (list $security.caName)) -}}
{{- end -}}
{{- with $security.certSecret -}}
{{- include "siad.requireSecret" (list $root "certSecret of kafka.security" . (list $security.certName $security.keyName)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
