#!/bin/bash
# Run once by InfluxDB's image after its setup: boards and the collector read with InfluxQL, which on 2.x needs the bucket
# mapped to a database (DBRP), and Grafana reads as a user of its own who cannot write.
set -euo pipefail

# A year of days is then read from five files, not from fifty-two (collector/caretaker_collector/stores/README.md).
influx bucket update --id "$DOCKER_INFLUXDB_INIT_BUCKET_ID" --shard-group-duration 13w

influx v1 dbrp create \
  --org "$DOCKER_INFLUXDB_INIT_ORG" \
  --db "$DOCKER_INFLUXDB_INIT_BUCKET" \
  --rp autogen \
  --default \
  --bucket-id "$DOCKER_INFLUXDB_INIT_BUCKET_ID"

influx v1 auth create \
  --org "$DOCKER_INFLUXDB_INIT_ORG" \
  --username grafana \
  --password "$CARETAKER_INFLUX_READ_PASSWORD" \
  --read-bucket "$DOCKER_INFLUXDB_INIT_BUCKET_ID"
