{{- /* Keys of the quickstart's store: those of an earlier install, else new ones; the same within one rendering. As JSON. */ -}}
{{- define "siad.storeKeys" -}}
{{- if not (hasKey .Values.quickstart "keys") -}}
{{- $old := lookup "v1" "Secret" .Release.Namespace (printf "%s-store" (include "siad.name" .)) -}}
{{- $keys := dict "access" (randAlphaNum 20) "secret" (randAlphaNum 40) -}}
{{- if $old -}}
{{- $keys = dict "access" (index $old.data .Values.store.accessKeyName | b64dec) "secret" (index $old.data .Values.store.secretKeyName | b64dec) -}}
{{- end -}}
{{- $_ := set .Values.quickstart "keys" $keys -}}
{{- end -}}
{{ toJson .Values.quickstart.keys }}
{{- end -}}

{{- /* The part of a StatefulSet that broker and store share. List of the root, the part's name and its values. */ -}}
{{- define "siad.quickstartSet" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
replicas: 1
serviceName: {{ include "siad.name" $root }}-{{ $part }}
persistentVolumeClaimRetentionPolicy: {whenDeleted: Retain, whenScaled: Retain}
selector:
  matchLabels:
    {{- include "siad.selector" $root | nindent 4 }}
    app.kubernetes.io/component: {{ $part }}
{{- if $root.Values.quickstart.persistence.enabled }}
volumeClaimTemplates:
  - metadata: {name: data}
    spec:
      accessModes: [ReadWriteOnce]
      {{- with $root.Values.quickstart.persistence.storageClassName }}
      storageClassName: {{ . }}
      {{- end }}
      resources: {requests: {storage: {{ $root.Values.quickstart.persistence.size }}}}
{{- end }}
{{- end -}}

{{- define "siad.quickstartPod" -}}
{{- $root := index . 0 -}}
enableServiceLinks: false
automountServiceAccountToken: false
securityContext:
  {{- include "siad.podSecurity" $root | nindent 2 }}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}
