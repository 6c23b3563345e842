"""The local stack: Kafka, DynamoDB Local and every process, on one machine and without root."""
