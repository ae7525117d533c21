#!/usr/bin/env bash
# The provider's small certificate authority for the broker: one folder, openssl, nothing else.
#
#   certificates.sh FOLDER authority             make the authority (once); keep FOLDER off the broker and backed up
#   certificates.sh FOLDER server HOST [HOST..]  a certificate for the broker, with its host names or addresses
#   certificates.sh FOLDER collector             a certificate for the collector
#   certificates.sh FOLDER device SCHOOL/DEVICE  a certificate for one device
#   certificates.sh FOLDER withdraw NAME         withdraw server, collector or SCHOOL/DEVICE; then copy ca.crl to the broker
#
# NAME.crt and NAME.key are left in FOLDER (a / in the name becomes a folder). Keys can be read by their owner only.
set -euo pipefail
umask 077
usage() {
  sed -n '4,8s/^#   //p' "${BASH_SOURCE[0]}" >&2
  exit 2
}
[ $# -ge 2 ] || usage
folder=$1 verb=$2
shift 2
days_authority=3650 days=825 # 825 days is the most that common clients accept of a server

configuration() { # configuration [SUBJECT_ALTERNATIVE_NAMES]
  cat <<CNF
[ca]
default_ca = own
[own]
database = $folder/index.txt
serial = $folder/serial
crlnumber = $folder/crlnumber
new_certs_dir = $folder/issued
certificate = $folder/ca.crt
private_key = $folder/ca.key
default_md = sha256
default_days = $days
default_crl_days = 3650
policy = any
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = dn
prompt = no
[dn]
CN = Caretaker device authority
[authority]
basicConstraints = critical, CA:true, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = ${1:-DNS:localhost}
[client]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
CNF
}

new_key() {
  openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out "$1" 2>/dev/null ||
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out "$1"
}

renew_list() {
  openssl ca -batch -config <(configuration) -gencrl -out "$folder/ca.crl" 2>/dev/null
  chmod 644 "$folder/ca.crl"
}

issue() { # issue NAME SECTION [SUBJECT_ALTERNATIVE_NAMES]
  local name=$1 section=$2 names=${3:-}
  [ -f "$folder/ca.key" ] || { echo "no authority in $folder; make it first: $0 $folder authority" >&2 && exit 2; }
  mkdir -p "$(dirname "$folder/$name")"
  new_key "$folder/$name.key"
  openssl req -new -config <(configuration) -key "$folder/$name.key" -subj "/CN=${name//\//\\/}" -out "$folder/request.csr"
  openssl ca -batch -notext -config <(configuration "$names") -extensions "$section" \
    -in "$folder/request.csr" -out "$folder/$name.crt" 2>"$folder/openssl.log" ||
    { cat "$folder/openssl.log" >&2 && exit 1; }
  rm -f "$folder/request.csr" "$folder/openssl.log"
  chmod 644 "$folder/$name.crt"
  echo "$folder/$name.crt $folder/$name.key"
}

case $verb in
authority)
  [ ! -e "$folder/ca.key" ] || { echo "$folder holds an authority already" >&2 && exit 2; }
  mkdir -p "$folder/issued"
  : >"$folder/index.txt"
  openssl rand -hex 16 >"$folder/serial"
  echo 01 >"$folder/crlnumber"
  new_key "$folder/ca.key"
  openssl req -new -x509 -config <(configuration) -extensions authority -key "$folder/ca.key" \
    -days $days_authority -out "$folder/ca.crt"
  chmod 644 "$folder/ca.crt"
  renew_list
  echo "$folder/ca.crt $folder/ca.crl"
  ;;
server)
  [ $# -ge 1 ] || usage
  names=""
  for host in "$@"; do
    if [[ $host =~ ^[0-9.]+$|: ]]; then names+=",IP:$host"; else names+=",DNS:$host"; fi
  done
  issue server server "${names#,}"
  ;;
collector)
  issue collector client
  ;;
device)
  # A name of the contract: anything else could become a wildcard or another device's topic.
  [[ ${1:-} =~ ^[a-z0-9][a-z0-9-]{0,62}/[a-z0-9][a-z0-9-]{0,62}$ ]] ||
    { echo "\"${1:-}\" is not school/device (a-z, 0-9 and hyphens)" >&2 && exit 2; }
  issue "$1" client
  ;;
withdraw)
  [ -f "$folder/${1:-}.crt" ] || { echo "no certificate $folder/${1:-}.crt" >&2 && exit 2; }
  openssl ca -batch -config <(configuration) -revoke "$folder/$1.crt" 2>/dev/null
  renew_list
  rm -f "$folder/$1.crt" "$folder/$1.key"
  echo "$folder/ca.crl"
  ;;
*) usage ;;
esac
