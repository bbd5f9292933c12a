# systemctl reload: a good configuration, which renews, and a bad one, which changes nothing.

presented() {
        inside sh -c 'openssl s_client -connect 127.0.0.1:9443 </dev/null 2>/dev/null |
                openssl x509 -noout -fingerprint -sha256' | sed 's/.*=//; s/://g' | tr 'A-F' 'a-f'
}

old=$(fingerprint)
old_pid=$(property plain MainPID)
rekeyd_pid=$(property rekeyd MainPID)
inside mkfifo /run/gate
configure 3072 2048
mark
check "systemctl reload with a good configuration" inside systemctl reload rekeyd
check "is said" await "$(message_of RELOADED)"
check "a certificate that is new in it waits for its token" await "$(message_of WAITING)"
milestone "a larger key is a renewal" await "$(message_of RENEWED)"
new=$(field REKEYD_FINGERPRINT)
check "of which nginx hears" await "$(of NOTIFIED nginx.service)"
check "a unit that takes its time to restart" \
        await '.UNIT == "plain.service" and .MESSAGE_ID == "7d4958e842da4a758f6c1cdc7b36dcc5"'
check "is waited for" same "$(since "$(of NOTIFIED plain.service)")" 0
inside sh -c 'echo go >/run/gate; rm /run/gate'
check "until it runs" await "$(of NOTIFIED plain.service)"
check "anew" not same "$(property plain MainPID)" "$old_pid"
check "the certificate is another one" not same "$new" "$old"
check "and it is what nginx presents" same "$(presented)" "$new"
check "the third one is told as well" await "$(of NOTIFIED stubborn.service)"

mark
mint invoices | inside sh -c 'cat >/etc/rekeyd/tokens/invoices'
check "a token that root puts into its place is used at once" await "$(message_of ENROLLED)"
check "for the certificate that waited" same "$(field REKEYD_CERTIFICATE)" invoices
check "whose dependent is told" await "$(of NOTIFIED plain.service)"

inside sh -c 'echo "  nonsense: true" >>/etc/rekeyd/rekeyd.yaml'
mark
check "systemctl reload with a bad configuration fails" not inside systemctl reload rekeyd
check "the error has its place" await "$(message_of NOT_RELOADED) and (.MESSAGE | test(\"rekeyd.yaml:[0-9]+:[0-9]+: \"))"
check "the service goes on" same "$(property rekeyd ActiveState) $(property rekeyd MainPID)" "active $rekeyd_pid"
check "with the certificate that it had" same "$(fingerprint)" "$new"
configure 3072 2048
mark
check "and the next reload is good again" inside systemctl reload rekeyd
check "which renews nothing" await "$(message_of RELOADED)"
