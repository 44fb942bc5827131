# shellcheck shell=bash
# Sourced after lib.sh: certificates for NBD through TLS.

# tls_authority DIR: ca-cert.pem and ca-key.pem.
tls_authority() {
    mkdir -p "$1"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj "/CN=authority" \
        -keyout "$1/ca-key.pem" -out "$1/ca-cert.pem" 2>"$TEST_DIR/openssl.log" || fail "$(cat "$TEST_DIR/openssl.log")"
}

# tls_server DIR NAME AUTHORITY: what nbdkit --tls-certificates=DIR wants, for a server of this name,
# such as IP:127.0.0.1.
tls_server() {
    mkdir -p "$1"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=server" \
        -keyout "$1/server-key.pem" -out "$1/server.csr" 2>"$TEST_DIR/openssl.log" &&
        openssl x509 -req -days 30 -in "$1/server.csr" -CA "$3/ca-cert.pem" -CAkey "$3/ca-key.pem" \
            -CAcreateserial -out "$1/server-cert.pem" -extfile <(echo "subjectAltName=$2") \
            2>"$TEST_DIR/openssl.log" || fail "$(cat "$TEST_DIR/openssl.log")"
    cp "$3/ca-cert.pem" "$1/"
}
