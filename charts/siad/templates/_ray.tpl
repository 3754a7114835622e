{{- /* A Ray head beside a stage, and the scorer that it runs. Same dict as siad.pod. */ -}}

{{- /* Image with torch and Ray. List of the root, and `scorer` or `jobs` of the values. */ -}}
{{- define "siad.rayImage" -}}
{{- default (include "siad.defaultImage" (list (index . 0) "ray")) (index . 1).image -}}
{{- end -}}

{{- /* Where the labeler finds its scorer: beside it, or at the Service that KubeRay keeps in front of the RayService. */ -}}
{{- define "siad.scorerUrl" -}}
{{- if eq .Values.scorer.mode "rayservice" -}}
http://{{ include "siad.name" . }}-scorer-serve-svc.{{ .Release.Namespace }}.svc:8000
{{- else -}}
http://127.0.0.1:8401
{{- end -}}
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
    {{- include "siad.setting" (list "SIAD_LABELER_SCORER_URL" (include "siad.scorerUrl" .root)) | nindent 4 }}
    {{- range $name, $value := .values.settings }}
    {{- include "siad.setting" (list (printf "SIAD_LABELER_%s" (upper $name)) (include "siad.number" $value)) | nindent 4 }}
    {{- end }}
    {{- include "siad.rayEnvironment" .root | nindent 4 }}
    {{- include "siad.storeEnvironment" (list .root .values) | nindent 4 }}
  resources:
    {{- toYaml .root.Values.scorer.resources | nindent 4 }}
  securityContext:
    {{- include "siad.containerSecurity" .root | nindent 4 }}
  volumeMounts:
    {{- include "siad.mounts" true | nindent 4 }}
{{- end -}}

{{- /* The RayJob of a training job: one pod with a Ray head, and one that submits to it. As YAML. */ -}}
{{- define "siad.rayJob" -}}
{{- $jobs := .Values.jobs -}}
{{- $image := include "siad.rayImage" (list . $jobs) -}}
apiVersion: ray.io/v1
kind: RayJob
metadata:
  labels: &labels
    {{- include "siad.labels" . | nindent 4 }}
    app.kubernetes.io/component: job
spec:
  submissionMode: K8sJobMode
  shutdownAfterJobFinishes: true
  backoffLimit: 0
  submitterConfig: {backoffLimit: 0}
  submitterPodTemplate:
    metadata: {labels: *labels}
    spec:
      restartPolicy: Never
      {{- include "siad.jobPod" . | nindent 6 }}
      containers:
        - name: ray-job-submitter
          image: {{ $image }}
          imagePullPolicy: {{ .Values.image.pullPolicy }}
          resources: {requests: {cpu: 50m, memory: 256Mi}, limits: {memory: 1Gi}}
          securityContext:
            {{- include "siad.containerSecurity" . | nindent 12 }}
          volumeMounts: [{name: tmp, mountPath: /tmp}]
      volumes: [{name: tmp, emptyDir: {}}]
  rayClusterSpec:
    enableInTreeAutoscaling: false
    headGroupSpec:
      rayStartParams:
        num-cpus: {{ $jobs.cpus | quote }}
        object-store-memory: "209715200"
        dashboard-host: 0.0.0.0
        disable-usage-stats: "true"
      template:
        metadata: {labels: *labels}
        spec:
          {{- include "siad.jobPod" . | nindent 10 }}
          {{- with .Values.stages.trainer.nodeSelector }}
          nodeSelector:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- with .Values.stages.trainer.tolerations }}
          tolerations:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          containers:
            - name: ray-head
              image: {{ $image }}
              imagePullPolicy: {{ .Values.image.pullPolicy }}
              env:
                {{- include "siad.storeEnvironment" (list . (include "siad.stageValues" (list . "trainer") | fromJson)) | nindent 16 }}
              resources:
                {{- include "siad.gpuResources" (list $jobs.rayResources (include "siad.stageValues" (list . "trainer") | fromJson)) | nindent 16 }}
              securityContext:
                {{- include "siad.containerSecurity" . | nindent 16 }}
              volumeMounts: [{name: tmp, mountPath: /tmp}]
          volumes: [{name: tmp, emptyDir: {}}]
{{- end -}}

{{- define "siad.jobPod" -}}
enableServiceLinks: false
automountServiceAccountToken: false
securityContext:
  {{- include "siad.podSecurity" . | nindent 2 }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- /* A pod of the RayService. List of the root, the labeler's values and the container's name. */ -}}
{{- define "siad.scorerPod" -}}
{{- $root := index . 0 -}}
{{- $labeler := index . 1 -}}
metadata:
  labels:
    {{- include "siad.labels" $root | nindent 4 }}
    app.kubernetes.io/component: scorer
spec:
  {{- include "siad.jobPod" $root | nindent 2 }}
  {{- with $labeler.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $labeler.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ index . 2 }}
      image: {{ include "siad.rayImage" (list $root $root.Values.scorer) }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      env:
        {{- include "siad.setting" (list "SIAD_LABELER_SCORER_URL" (include "siad.scorerUrl" $root)) | nindent 8 }}
        {{- range $name, $value := $labeler.settings }}
        {{- include "siad.setting" (list (printf "SIAD_LABELER_%s" (upper $name)) (include "siad.number" $value)) | nindent 8 }}
        {{- end }}
        {{- include "siad.storeEnvironment" (list $root $labeler) | nindent 8 }}
      ports:
        - {name: gcs-server, containerPort: 6379}
        - {name: dashboard, containerPort: 8265}
        - {name: client, containerPort: 10001}
        - {name: serve, containerPort: 8000}
      resources:
        {{- include "siad.gpuResources" (list $root.Values.scorer.rayResources $labeler) | nindent 8 }}
      securityContext:
        {{- include "siad.containerSecurity" $root | nindent 8 }}
      volumeMounts: [{name: tmp, mountPath: /tmp}]
  volumes: [{name: tmp, emptyDir: {}}]
{{- end -}}
