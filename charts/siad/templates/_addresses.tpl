{{- /* Addresses of Kafka and the store, and the environment made of them. */ -}}

{{- define "siad.bootstrap" -}}
{{- if .Values.quickstart.enabled -}}
{{ include "siad.name" . }}-kafka-0.{{ include "siad.name" . }}-kafka.{{ .Release.Namespace }}.svc:9092
{{- else if and .Values.kafka.strimzi.cluster (not .Values.kafka.bootstrap) -}}
{{ .Values.kafka.strimzi.cluster }}-kafka-bootstrap.{{ .Release.Namespace }}.svc:9093
{{- else -}}
{{ .Values.kafka.bootstrap }}
{{- end -}}
{{- end -}}

{{- define "siad.endpoint" -}}
{{- if .Values.quickstart.enabled -}}
http://{{ include "siad.name" . }}-store.{{ .Release.Namespace }}.svc:8333
{{- else -}}
{{ .Values.store.endpointUrl }}
{{- end -}}
{{- end -}}

{{- /* Secret with the keys of a stage. List of the root and the stage's values. */ -}}
{{- define "siad.storeSecret" -}}
{{- $root := index . 0 -}}
{{- if $root.Values.quickstart.enabled }}{{ include "siad.name" $root }}-store{{ else }}{{ default $root.Values.store.existingSecret (index . 1).storeSecret }}{{ end -}}
{{- end -}}

{{- define "siad.setting" -}}
- name: {{ index . 0 }}
  value: {{ index . 1 | toString | quote }}
{{- end -}}

{{- /* Settings of bus and store, which every process reads. List of the root and the stage's values. */ -}}
{{- define "siad.sharedEnvironment" -}}
{{- $values := index . 1 -}}
{{- with index . 0 -}}
{{ include "siad.setting" (list "SIAD_AUTH" .Values.auth) }}
{{ include "siad.setting" (list "SIAD_BUS_BOOTSTRAP" (include "siad.bootstrap" .)) }}
{{- range $name, $value := .Values.kafka.settings }}
{{ include "siad.setting" (list (printf "SIAD_BUS_%s" (upper $name)) (include "siad.number" $value)) }}
{{- end }}
{{ include "siad.storeEnvironment" (list . $values) }}
{{- if .Values.traces.endpoint }}
{{ include "siad.setting" (list "OTEL_EXPORTER_OTLP_ENDPOINT" .Values.traces.endpoint) }}
{{ include "siad.setting" (list "OTEL_TRACES_SAMPLER_ARG" .Values.traces.ratio) }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* Same list as above. */ -}}
{{- define "siad.storeEnvironment" -}}
{{- $secret := include "siad.storeSecret" . -}}
{{- with index . 0 -}}
{{ include "siad.setting" (list "SIAD_STORE_BUCKET" (default "siad" .Values.store.bucket)) }}
{{- with include "siad.endpoint" . }}
{{ include "siad.setting" (list "SIAD_STORE_ENDPOINT_URL" .) }}
{{- end }}
{{- if .Values.quickstart.enabled }}
{{ include "siad.setting" (list "SIAD_STORE_CREATE_BUCKET" "true") }}
{{- end }}
{{- range $name, $value := .Values.store.settings }}
{{ include "siad.setting" (list (printf "SIAD_STORE_%s" (upper $name)) (include "siad.number" $value)) }}
{{- end }}
{{- if $secret }}
- name: SIAD_STORE_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ .Values.store.accessKeyName }}}}
- name: SIAD_STORE_SECRET_KEY
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ .Values.store.secretKeyName }}}}
{{- end }}
{{- end }}
{{- end -}}

{{- /* A value as text: YAML reads large whole numbers as floats, whose text has an exponent. */ -}}
{{- define "siad.number" -}}
{{- if and (kindIs "float64" .) (eq (float64 (int64 .)) .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}
