# Dependents: refused until the administrator names them, then a real nginx that reloads, a unit that cannot reload,
# and one whose reload fails.

# of NAME UNIT: a message about that dependent.
of() {
        echo "$(message_of "$1") and (.REKEYD_DEPENDENT | contains(\"$2\"))"
}

check "a unit that the polkit rule does not name is not touched, and that is said" \
        await "$(of NOT_NOTIFIED nginx.service)"
check "with the reason" matches "$(field REKEYD_ERROR)" 'does not let rekeyd'
check "as an error" same "$(field PRIORITY)" 3

check "rekeyctl doctor finds it before the next renewal, with the fix" \
        matches "$(inside rekeyctl doctor orders)" \
        'does not let rekeyd reload or restart unit nginx.service'$'\n''    fix: .*50-rekeyd.rules'

write /etc/nginx/conf.d/orders.conf <<'END'
server {
    listen 127.0.0.1:9443 ssl;
    ssl_certificate /var/lib/rekeyd/certs/orders/tls.crt;
    ssl_certificate_key /var/lib/rekeyd/certs/orders/tls.key;
    return 204;
}
END
# Ordered after rekeyd, as units that cannot start without their certificate would be.
for unit in nginx plain; do
        write "/etc/systemd/system/$unit.service.d/after.conf" <<'END'
[Unit]
After=rekeyd.service
END
done
inside systemctl daemon-reload
nginx_pid=$(property nginx MainPID)
mark
inside sed -i '/var units/a "nginx.service", "plain.service", "stubborn.service",' /etc/polkit-1/rules.d/50-rekeyd.rules
check "once they are named, nginx is told without another renewal" \
        await "$(of NOTIFIED nginx.service)"
check "and rekeyctl doctor agrees" matches "$(inside rekeyctl doctor orders)" \
        'unit nginx.service is active, and rekeyd may reload or restart it'
check "by a reload" same "$(property nginx MainPID)" "$nginx_pid"
check "and a unit that cannot reload is restarted" await "$(of NOTIFIED plain.service)"
check "a dependent whose reload fails is said" await "$(of NOT_NOTIFIED stubborn.service)"
check "and is what systemctl status shows" \
        becomes rekeyd StatusText 'orders has a dependent that was not notified'
inside touch /run/stubborn-may-reload
check "it is told again until it works" await "$(of NOTIFIED stubborn.service)"
check "all this with the one certificate" same "$(since "$(message_of BEGUN)")" 0
