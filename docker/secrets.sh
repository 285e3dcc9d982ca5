#!/bin/sh
# Makes the secrets that compose.yaml hands to the services, each in a file of its own; what is there already is kept.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets
cd secrets

random() { head -c 24 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n'; }
keep() { [ -s "$1" ] || printf '%s' "$2" > "$1"; }

keep database_password "$(random)"
keep redis_password "$(random)"
keep mqtt_health "$(random)"
keep mqtt_ingest "$(random)"
keep mqtt_capture "$(random)"
keep mqtt_simulator "$(random)"
keep database_url "postgresql://ioc:$(cat database_password)@database:5432/ioc"
keep redis_url "redis://:$(cat redis_password)@redis:6379/0"
keep mqtt_url "mqtt://ingest:$(cat mqtt_ingest)@broker:1883"
keep mqtt_capture_url "mqtt://capture:$(cat mqtt_capture)@broker:1883"
keep mqtt_simulator_url "mqtt://simulator:$(cat mqtt_simulator)@broker:1883"
# Empty: no original of a picture that proves an alarm is kept. With 32 bytes in base64 in it they are.
touch evidence_master_key
keep emqx_cookie "$(random)"
keep emqx_users.csv "$(echo user_id,password,is_superuser
    for name in capture ingest simulator; do echo "$name,$(cat "mqtt_$name"),false"; done)"

# The services run as uid 10001 and read their secrets as bind mounts; the folder keeps others out.
chmod 644 database_url redis_url mqtt_url mqtt_capture_url mqtt_simulator_url database_password redis_password mqtt_health \
    emqx_cookie emqx_users.csv evidence_master_key

if [ ! -s mqtt_passwords ]; then
    if command -v mosquitto_passwd >/dev/null; then
        touch mqtt_passwords
        for name in capture health ingest simulator; do mosquitto_passwd -b mqtt_passwords "$name" "$(cat "mqtt_$name")"; done
    else
        docker run --rm -v "$PWD:/secrets" -w /secrets eclipse-mosquitto:2.0.22 sh -c '
            touch mqtt_passwords
            for name in capture health ingest simulator; do mosquitto_passwd -b mqtt_passwords "$name" "$(cat "mqtt_$name")"; done'
    fi
    chmod 644 mqtt_passwords
fi
echo "secrets are in $PWD"
