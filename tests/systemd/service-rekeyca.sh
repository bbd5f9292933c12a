# rekeyca, where a gateway is a unit: it has its CA replaced, and reads that by a reload.

inside sh -e -c '
        install -d -m 0700 /etc/gateway && cd /etc/gateway
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 3650 -subj /CN=Gateway
        cp ca.crt clients.pem
        openssl req -x509 -newkey rsa:2048 -nodes -keyout server.key -out server.crt -days 30 -subj /CN=gateway \
                -addext subjectAltName=IP:127.0.0.1' >"$layer/gateway.log" 2>&1
write /etc/nginx/conf.d/gateway.conf <<'END_OF_FILE'
server {
    listen 127.0.0.1:9555 ssl;
    ssl_certificate /etc/gateway/server.crt;
    ssl_certificate_key /etc/gateway/server.key;
    ssl_client_certificate /etc/gateway/clients.pem;
    ssl_verify_client on;
    return 204;
}
END_OF_FILE
write /etc/gateway/site.yaml <<'END_OF_FILE'
signer: files:/etc/gateway/ca.key,/etc/gateway/ca.crt
trust: ["files:/etc/gateway/clients.pem"]
state: /etc/gateway/rotation.json
gateways: [{url: "https://127.0.0.1:9555/", trust: /etc/gateway/server.crt}]
reload: ["unit:nginx.service"]
ca_window: 0s
END_OF_FILE
inside systemctl reload nginx
nginx_pid=$(property nginx MainPID)

# operate VERB OPTION...
operate() {
        inside rekeyca "$1" --config /etc/gateway/site.yaml "${@:2}" 2>&1
}

# reloads: how often nginx was since the mark.
reloads() {
        since '.UNIT == "nginx.service" and .MESSAGE_ID == "7b05ebc668384222baa8881179cfda54"'
}

mark
check "rekeyca plans a rotation" operate plan --reason new-key
check "and carries it out" operate apply
check "nginx was reloaded when its probes showed the old bundle" same "$(reloads)" 1
check "and not restarted" same "$(property nginx MainPID)" "$nginx_pid"
check "the old CA leaves" operate retire --force orders
check "with one more reload" same "$(reloads)" 2
