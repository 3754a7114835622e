{{- /* Addresses of Kafka and the store, and the environment made of them. */ -}}

{{- define "siad.bootstrap" -}}
{{- if .Values.quickstart.enabled -}}
{{ include "siad.name" . }}-kafka-0.{{ include "siad.name" . }}-kafka.{{ .Release.Namespace }}.svc:9092
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

{{- define "siad.storeSecret" -}}
{{- if .Values.quickstart.enabled }}{{ include "siad.name" . }}-store{{ else }}{{ .Values.store.existingSecret }}{{ end -}}
{{- end -}}

{{- define "siad.setting" -}}
- name: {{ index . 0 }}
  value: {{ index . 1 | toString | quote }}
{{- end -}}

{{- /* Settings of bus and store, which every process reads. */ -}}
{{- define "siad.sharedEnvironment" -}}
{{ include "siad.setting" (list "SIAD_AUTH" .Values.auth) }}
{{ include "siad.setting" (list "SIAD_BUS_BOOTSTRAP" (include "siad.bootstrap" .)) }}
{{- range $name, $value := .Values.kafka.settings }}
{{ include "siad.setting" (list (printf "SIAD_BUS_%s" (upper $name)) (include "siad.number" $value)) }}
{{- end }}
{{ include "siad.storeEnvironment" . }}
{{- with .Values.traces.endpoint }}
{{ include "siad.setting" (list "OTEL_EXPORTER_OTLP_ENDPOINT" .) }}
{{ include "siad.setting" (list "OTEL_TRACES_SAMPLER_ARG" $.Values.traces.ratio) }}
{{- end }}
{{- end -}}

{{- define "siad.storeEnvironment" -}}
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
{{- with include "siad.storeSecret" . }}
- name: SIAD_STORE_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ . }}, key: {{ $.Values.store.accessKeyName }}}}
- name: SIAD_STORE_SECRET_KEY
  valueFrom: {secretKeyRef: {name: {{ . }}, key: {{ $.Values.store.secretKeyName }}}}
{{- end }}
{{- end -}}

{{- /* A value as text: YAML reads large whole numbers as floats, whose text has an exponent. */ -}}
{{- define "siad.number" -}}
{{- if and (kindIs "float64" .) (eq (float64 (int64 .)) .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}
