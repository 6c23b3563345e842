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

{{- /* How a process signs in to Kafka as itself: environment, mounts and volumes; take root, principal. */ -}}
{{- define "cnop.kafka-environment" -}}
- {name: CNOP_KAFKA_TLS, value: {{ .root.Values.kafka.tls | quote }}}
{{- if and .root.Values.kafka.tls .root.Values.kafka.authority }}
- {name: CNOP_KAFKA_CA_FILE, value: /etc/cnop/kafka-authority/ca.crt}
{{- end }}
{{- if .root.Values.kafka.credentials }}
- {name: CNOP_KAFKA_MECHANISM, value: {{ .root.Values.kafka.mechanism }}}
- {name: CNOP_KAFKA_USERNAME, value: {{ .principal }}}
- {name: CNOP_KAFKA_PASSWORD_FILE, value: /etc/cnop/kafka/password}
{{- end }}
{{- end }}

{{- define "cnop.kafka-mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if .root.Values.kafka.credentials }}
- {name: kafka, mountPath: /etc/cnop/kafka, readOnly: true}
{{- end }}
{{- if and .root.Values.kafka.tls .root.Values.kafka.authority }}
- {name: kafka-authority, mountPath: /etc/cnop/kafka-authority, readOnly: true}
{{- end }}
{{- end }}

{{- define "cnop.kafka-volumes" -}}
- {name: tmp, emptyDir: {}}
{{- if .root.Values.kafka.credentials }}
- name: kafka
  secret: {secretName: {{ .root.Values.kafka.credentials }}{{ .principal }}, defaultMode: 0440}
{{- end }}
{{- if and .root.Values.kafka.tls .root.Values.kafka.authority }}
- name: kafka-authority
  configMap: {name: {{ .root.Values.kafka.authority }}}
{{- end }}
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
            {{- include "cnop.kafka-environment" (dict "root" .root "principal" .name) | nindent 12 }}
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
            {{- include "cnop.kafka-mounts" (dict "root" .root) | nindent 12 }}
            {{- if .keys }}
            - {name: keys, mountPath: /etc/cnop/keys, readOnly: true}
            {{- end }}
      volumes:
        {{- include "cnop.kafka-volumes" (dict "root" .root "principal" .name) | nindent 8 }}
        {{- if .keys }}
        - name: keys
          secret: {secretName: {{ .keys }}, defaultMode: 0440}
        {{- end }}
{{- end }}
