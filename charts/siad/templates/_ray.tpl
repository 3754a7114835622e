{{- /* A Ray head beside a stage, and the scorer that it runs. Same dict as siad.pod. */ -}}

{{- /* Image with torch and Ray. List of the root, and `scorer` or `jobs` of the values. */ -}}
{{- define "siad.rayImage" -}}
{{- default (include "siad.defaultImage" (list (index . 0) "ray")) (index . 1).image -}}
{{- end -}}

{{- define "siad.rayEnvironment" -}}
{{ include "siad.setting" (list "RAY_ADDRESS" "127.0.0.1:6379") }}
# Ray would take an address of this pod in place of the loopback address
{{ include "siad.setting" (list "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" "0") }}
{{- end -}}

{{- define "siad.rayHead" -}}
{{- $part := ternary .root.Values.scorer .root.Values.jobs (eq .name "labeler") -}}
- name: ray
  image: {{ include "siad.rayImage" (list .root $part) }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  restartPolicy: Always
  command:
    - ray
    - start
    - --head
    - --block
    - --node-ip-address=127.0.0.1
    - --port=6379
    - --include-dashboard=false
    - --disable-usage-stats
    - --num-cpus={{ $part.cpus }}
    - --object-store-memory=209715200
    - --temp-dir=/tmp/ray
  env:
    {{- include "siad.rayEnvironment" .root | nindent 4 }}
    {{- /* no other node takes over its tasks */}}
    {{- include "siad.setting" (list "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S" "0") | nindent 4 }}
  startupProbe:
    exec:
      command: [bash, -c, "test -S /tmp/ray/session_latest/sockets/raylet && : < /dev/tcp/127.0.0.1/6379"]
    periodSeconds: 2
    timeoutSeconds: 5
    failureThreshold: 90
  resources:
    {{- include "siad.gpuResources" (list $part.rayResources .values) | nindent 4 }}
  securityContext:
    {{- include "siad.containerSecurity" .root | nindent 4 }}
  volumeMounts:
    {{- include "siad.mounts" true | nindent 4 }}
{{- end -}}

{{- /* It listens on loopback; the labeler's readiness asks it, and it ends itself where Ray or the application is gone. */ -}}
{{- define "siad.scorer" -}}
- name: scorer
  image: {{ include "siad.rayImage" (list .root .root.Values.scorer) }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command: [python, -m, services.labeler.scorer]
  env:
    {{- include "siad.setting" (list "SIAD_LABELER_SCORER_URL" "http://127.0.0.1:8401") | nindent 4 }}
    {{- range $name, $value := .values.settings }}
    {{- include "siad.setting" (list (printf "SIAD_LABELER_%s" (upper $name)) (include "siad.number" $value)) | nindent 4 }}
    {{- end }}
    {{- include "siad.rayEnvironment" .root | nindent 4 }}
    {{- include "siad.storeEnvironment" .root | nindent 4 }}
  resources:
    {{- toYaml .root.Values.scorer.resources | nindent 4 }}
  securityContext:
    {{- include "siad.containerSecurity" .root | nindent 4 }}
  volumeMounts:
    {{- include "siad.mounts" true | nindent 4 }}
{{- end -}}
