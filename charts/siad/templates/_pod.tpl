{{- /* The pod of a stage. Dict: root, name, what (of siad.stages), values (of siad.stageValues). */ -}}

{{- define "siad.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "siad.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .Values.security.runAsUser }}
runAsGroup: {{ .Values.security.runAsUser }}
fsGroup: {{ .Values.security.runAsUser }}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- /* Resources of a container with the GPUs of its stage. List of resources and stage values. */ -}}
{{- define "siad.gpuResources" -}}
{{- $resources := deepCopy (index . 0) -}}
{{- $stage := index . 1 -}}
{{- if $stage.gpus -}}
{{- $limits := default dict $resources.limits -}}
{{- $_ := set $limits $stage.gpuResource (toString $stage.gpus) -}}
{{- $_ := set $resources "limits" $limits -}}
{{- end -}}
{{ toYaml $resources }}
{{- end -}}

{{- define "siad.pod" -}}
{{- $root := .root -}}
{{- $stage := .values -}}
{{- $mode := dict "labeler" $root.Values.scorer.mode "trainer" $root.Values.jobs.mode -}}
{{- $withRay := eq (get $mode .name) "embedded" -}}
{{- $withRayJobs := and (eq .name "trainer") (eq $root.Values.jobs.mode "rayjob") -}}
metadata:
  labels:
    {{- include "siad.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .name }}
  annotations:
    {{- if $root.Values.quickstart.enabled }}
    checksum/store-keys: {{ include "siad.storeKeys" $root | sha256sum }}
    {{- end }}
    {{- if $withRayJobs }}
    checksum/rayjob: {{ include "siad.rayJob" $root | sha256sum }}
    {{- end }}
    {{- with $stage.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  enableServiceLinks: false
  serviceAccountName: {{ include "siad.name" $root }}-{{ .name }}
  automountServiceAccountToken: {{ or $withRayJobs (gt (len $stage.serviceAccountAnnotations) 0) }}
  securityContext:
    {{- include "siad.podSecurity" $root | nindent 4 }}
  # preStop, then the drain of the stage, then its last commits
  terminationGracePeriodSeconds: {{ add 20 (default 10 $stage.settings.drain_s) }}
  {{- with $stage.priorityClassName }}
  priorityClassName: {{ . }}
  {{- else }}
  {{- if $root.Values.priorityClasses.create }}
  priorityClassName: {{ include "siad.name" $root }}-{{ .what.priority }}
  {{- end }}
  {{- end }}
  {{- with $stage.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- with $root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  topologySpreadConstraints:
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - topologyKey: {{ . }}
      maxSkew: 1
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "siad.selector" $root | nindent 10 }}
          app.kubernetes.io/component: {{ $.name }}
    {{- end }}
  {{- with $stage.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $stage.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if $withRay }}
  # Ray and its drivers exchange signals and files as on one machine
  shareProcessNamespace: true
  initContainers:
    {{- include "siad.rayHead" . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .name }}
      {{- if and $withRay (eq .name "trainer") }}
      # a training job is a child process of the trainer, and needs torch and Ray
      image: {{ include "siad.rayImage" (list $root $root.Values.jobs) }}
      {{- else }}
      image: {{ include "siad.image" (list $root .name $stage) }}
      {{- end }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      command: [python, -m, services.{{ .name }}]
      env:
        {{- $own := upper .name }}
        {{ include "siad.setting" (list (printf "SIAD_%s_HTTP_HOST" $own) "0.0.0.0") | nindent 8 | trim }}
        {{- include "siad.setting" (list (printf "SIAD_%s_HTTP_PORT" $own) .what.port) | nindent 8 }}
        {{- include "siad.setting" (list (printf "SIAD_%s_ALLOW_REMOTE" $own) "true") | nindent 8 }}
        {{- if eq .name "labeler" }}
        {{- include "siad.setting" (list "SIAD_LABELER_SCORER_URL" (include "siad.scorerUrl" $root)) | nindent 8 }}
        {{- end }}
        {{- if and (eq .name "console") (not $stage.settings.ingest_url) }}
        {{- include "siad.setting" (list "SIAD_CONSOLE_INGEST_URL" (printf "http://%s-ingest:8400" (include "siad.name" $root))) | nindent 8 }}
        {{- end }}
        {{- if eq .name "inference" }}
        {{- include "siad.setting" (list "SIAD_INFERENCE_CACHE_DIR" "/var/cache/siad") | nindent 8 }}
        {{- end }}
        {{- if $withRayJobs }}
        {{- include "siad.setting" (list "SIAD_TRAINER_RAYJOB_TEMPLATE" "/etc/siad/rayjob.json") | nindent 8 }}
        {{- include "siad.setting" (list "SIAD_TRAINER_RAYJOB_PREFIX" (include "siad.name" $root)) | nindent 8 }}
        {{- include "siad.setting" (list "SIAD_TRAINER_RAYJOB_OWNER" (printf "%s-trainer" (include "siad.name" $root))) | nindent 8 }}
        {{- end }}
        {{- range $name, $value := $stage.settings }}
        {{- include "siad.setting" (list (printf "SIAD_%s_%s" $own (upper $name)) (include "siad.number" $value)) | nindent 8 }}
        {{- end }}
        {{- range $name, $source := $stage.secretSettings }}
        - name: SIAD_{{ $own }}_{{ upper $name }}
          valueFrom: {secretKeyRef: {name: {{ $source.name }}, key: {{ $source.key }}}}
        {{- end }}
        {{- if $withRay }}
        {{- include "siad.rayEnvironment" $root | nindent 8 }}
        {{- end }}
        {{- include "siad.sharedEnvironment" (list $root $stage) | nindent 8 }}
        {{- with include "siad.kafkaEnvironment" (list $root $stage) | trim }}
        {{- . | nindent 8 }}
        {{- end }}
      ports:
        - {name: http, containerPort: {{ .what.port }}}
      # ready: bus and store answer, state topics are read, and the weights in service passed their golden check; inference
      # is ready in an outage too while it judges direct requests by copies on its disk
      startupProbe:
        httpGet: {path: /readyz, port: http}
        periodSeconds: 3
        timeoutSeconds: 10
        failureThreshold: {{ div (add $stage.startupSeconds 2) 3 }}
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        periodSeconds: 5
        timeoutSeconds: 10
      livenessProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      lifecycle:
        # until every Service has left out this pod; a new request would be refused
        preStop: {sleep: {seconds: 3}}
      resources:
        {{- if $withRay }}
        {{- toYaml $stage.resources | nindent 8 }}
        {{- else }}
        {{- include "siad.gpuResources" (list $stage.resources $stage) | nindent 8 }}
        {{- end }}
      securityContext:
        {{- include "siad.containerSecurity" $root | nindent 8 }}
      volumeMounts:
        {{- include "siad.mounts" $withRay | nindent 8 }}
        {{- if eq .name "inference" }}
        - {name: cache, mountPath: /var/cache/siad}
        {{- end }}
        {{- if include "siad.kafkaVolume" (list $root $stage) }}
        - {name: kafka-security, mountPath: /etc/siad-kafka, readOnly: true}
        {{- end }}
        {{- if $withRayJobs }}
        - {name: rayjob, mountPath: /etc/siad}
        {{- end }}
    {{- if and $withRay (eq .name "labeler") }}
    {{- include "siad.scorer" . | nindent 4 }}
    {{- end }}
  volumes:
    - name: tmp
      emptyDir: {}
    {{- if eq .name "inference" }}
    # copies of weights and of the last known state; they outlive the container, not the pod
    - name: cache
      emptyDir: {sizeLimit: 6Gi}
    {{- end }}
    {{- with include "siad.kafkaVolume" (list $root $stage) | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- if $withRayJobs }}
    - name: rayjob
      configMap: {name: {{ include "siad.name" $root }}-rayjob}
    {{- end }}
    {{- if $withRay }}
    # Ray's object store, which its processes share
    - name: shm
      emptyDir: {medium: Memory, sizeLimit: 512Mi}
    {{- end }}
{{- end -}}

{{- define "siad.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if . }}
- {name: shm, mountPath: /dev/shm}
{{- end }}
{{- end -}}
