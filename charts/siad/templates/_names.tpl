{{- /* Names, labels and images. */ -}}

{{- define "siad.name" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "siad.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "siad.labels" -}}
{{ include "siad.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- /* Pods that may connect to the stages carry this label. */ -}}
{{- define "siad.clientLabel" -}}
{{ include "siad.name" . }}-client
{{- end -}}

{{- define "siad.defaultImage" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- with $root.Values.image -}}
{{ printf "%s/%s/%s:%s" .registry .repository $name (default $root.Chart.AppVersion .tag) }}
{{- end -}}
{{- end -}}

{{- /* Image of a stage: list of the root, its name and its own values. */ -}}
{{- define "siad.image" -}}
{{- $default := include "siad.defaultImage" . -}}
{{- $own := (index . 2).image -}}
{{- if $own -}}
{{- $repository := default (regexReplaceAll ":[^:/]*$" $default "") $own.repository -}}
{{- if $own.digest -}}
{{ $repository }}@{{ $own.digest }}
{{- else -}}
{{ $repository }}:{{ default (regexFind "[^:]*$" $default) $own.tag }}
{{- end -}}
{{- else -}}
{{ $default }}
{{- end -}}
{{- end -}}

{{- /* What each stage is: port, topic of its lag, and whether it runs one pod only. As JSON. */ -}}
{{- define "siad.stages" -}}
ingest: {port: 8400, priority: inspect}
labeler: {port: 8402, priority: learn, topic: siad.image.v1}
console: {port: 8405, priority: learn, single: true}
trainer: {port: 8403, priority: learn, topic: siad.pseudo-mask.v1}
inference: {port: 8404, priority: inspect, topic: siad.image.v1}
{{- end -}}

{{- /* Values of a stage: those of stageDefaults, replaced by its own. List of the root and the name; as JSON. */ -}}
{{- define "siad.stageValues" -}}
{{- $root := index . 0 -}}
{{- $merged := deepCopy $root.Values.stageDefaults -}}
{{- with $root.Values.kafka.strimzi.cluster -}}
{{- $_ := set $merged "kafkaSecurity" (include "siad.strimziSecurity" (list $root (index $ 1)) | fromJson) -}}
{{- end -}}
{{- range $key, $value := index $root.Values.stages (index . 1) -}}
{{- if and (has $key (list "autoscaling" "keda" "service" "kafkaSecurity")) $value -}}
{{- range $inner, $one := $value -}}
{{- $_ := set (index $merged $key) $inner $one -}}
{{- end -}}
{{- else -}}
{{- $_ := set $merged $key $value -}}
{{- end -}}
{{- end -}}
{{ toJson $merged }}
{{- end -}}
