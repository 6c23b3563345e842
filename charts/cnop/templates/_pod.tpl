{{- define "cnop.labels" -}}
app.kubernetes.io/name: cnop
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{- define "cnop.metadata-labels" -}}
{{ include "cnop.labels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "cnop.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "cnop.pod-security" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "cnop.container-security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "cnop.environment" -}}
- {name: CNOP_KAFKA_BOOTSTRAP, value: {{ .Values.kafka.bootstrap | quote }}}
- {name: CNOP_DYNAMODB_ENDPOINT, value: {{ .Values.dynamodb.endpoint | quote }}}
- {name: CNOP_AWS_REGION, value: {{ .Values.dynamodb.region | quote }}}
{{- with .Values.dynamodb.vaultKmsKey }}
- {name: CNOP_VAULT_KMS_KEY, value: {{ . | quote }}}
{{- end }}
- {name: CNOP_NAMESPACE, value: {{ .Values.namespace | quote }}}
- {name: CNOP_METRICS_PORT, value: {{ .Values.metrics.port | quote }}}
- {name: CNOP_STATE_DIR, value: /tmp/cnop}
{{- end }}

{{- /* One Deployment; takes root, name, args, replicas, resources, keys (a Secret or ""), gateway. */ -}}
{{- define "cnop.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .root.Release.Name }}-{{ .name }}
  labels: {{- include "cnop.metadata-labels" . | nindent 4 }}
spec:
  replicas: {{ .replicas }}
  selector:
    matchLabels: {{- include "cnop.labels" . | nindent 6 }}
  {{- if has .name (list "auditor" "feed" "clock") }}
  strategy: {type: Recreate}
  {{- end }}
  template:
    metadata:
      labels: {{- include "cnop.labels" . | nindent 8 }}
    spec:
      serviceAccountName: {{ .root.Release.Name }}
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 15
      securityContext: {{- include "cnop.pod-security" .root | nindent 8 }}
      containers:
        - name: {{ .name }}
          image: {{ include "cnop.image" .root }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          args: {{- toYaml .args | nindent 12 }}
          env:
            {{- include "cnop.environment" .root | nindent 12 }}
            {{- if .keys }}
            - {name: CNOP_SECRETS_DIR, value: /etc/cnop/keys}
            {{- end }}
            {{- if .gateway }}
            - {name: CNOP_TRUSTED_PROXIES, value: {{ .root.Values.gateway.trustedProxies | quote }}}
            {{- end }}
          ports:
            - {name: metrics, containerPort: {{ .root.Values.metrics.port }}}
            {{- if .gateway }}
            - {name: http, containerPort: {{ .root.Values.gateway.port }}}
            {{- end }}
          startupProbe:
            httpGet: {path: /health/live, port: metrics}
            periodSeconds: 2
            failureThreshold: 60
          livenessProbe:
            httpGet: {path: /health/live, port: metrics}
            periodSeconds: 10
            timeoutSeconds: 3
          {{- if .gateway }}
          readinessProbe:
            httpGet: {path: /health/ready, port: http}
            periodSeconds: 2
            timeoutSeconds: 2
          {{- else }}
          readinessProbe:
            httpGet: {path: /health/live, port: metrics}
            periodSeconds: 5
            timeoutSeconds: 3
          {{- end }}
          resources: {{- toYaml .resources | nindent 12 }}
          securityContext: {{- include "cnop.container-security" .root | nindent 12 }}
          volumeMounts:
            - {name: tmp, mountPath: /tmp}
            {{- if .keys }}
            - {name: keys, mountPath: /etc/cnop/keys, readOnly: true}
            {{- end }}
      volumes:
        - {name: tmp, emptyDir: {}}
        {{- if .keys }}
        - name: keys
          secret: {secretName: {{ .keys }}, defaultMode: 0440}
        {{- end }}
{{- end }}
