# The operator: rekeyctl as root, as a member of the groups, and as nobody in particular.

inside useradd --create-home --groups rekeyd alice
inside useradd --create-home --groups adm bob
inside useradd --create-home mallory

# as USER COMMAND...: with the groups of a login.
as() {
        inside setpriv --reuid "$1" --regid "$1" --init-groups -- "${@:2}"
}

check "rekeyctl status says how it is" inside rekeyctl status
check "with the certificate in it" matches "$(inside rekeyctl status)" 'orders +current'
check "rekeyctl check is a plugin that finds nothing" inside rekeyctl check
check "a member of control.group may look" as alice rekeyctl status
check "and act" as alice rekeyctl notify orders
check "a member of control.read_group may look" as bob rekeyctl show orders
check "and not act" not as bob rekeyctl notify orders
check "everybody else is refused" not as mallory rekeyctl status
check "and told which group it takes" matches "$(as mallory rekeyctl status 2>&1)" 'control.group|group'
check "nobody but rekeyd may put another socket there" \
        same "$(inside stat -c '%U %a' /run/rekeyd)" "rekeyd 755"

old=$(fingerprint)
mark
check "rekeyctl renew --wait waits until it is over" inside rekeyctl renew orders --wait
check "and it is" not same "$(fingerprint)" "$old"
check "who has asked is in the journal" await "$(message_of ASKED) and (.MESSAGE | test(\"uid 0\"))"
check "rekeyctl history has it" matches "$(inside rekeyctl history orders)" renewed
check "rekeyctl rollback puts the old one back" inside rekeyctl rollback orders
check "as a copy" same "$(fingerprint)" "$old"
check "rekeyctl reload" inside rekeyctl reload
inside sh -c 'echo "  nonsense: true" >>/etc/rekeyd/rekeyd.yaml'
check "rekeyctl reload fails with a bad configuration" not inside rekeyctl reload
check "rekeyctl check-config says where" matches "$(inside rekeyctl check-config 2>&1)" 'rekeyd.yaml:[0-9]+:[0-9]+: '
configure 3072 2048
check "rekeyctl reload is good again" inside rekeyctl reload

check "rekeyctl notify waits until all are told" inside rekeyctl notify orders

# The files stay, and only a token helps.
check "rekeyctl revoke" inside rekeyctl revoke invoices --yes
check "is final" matches "$(inside rekeyctl status invoices)" revoked
check "rekeyctl check is critical" same "$(inside rekeyctl check >/dev/null; echo $?)" 2
mark
check "rekeyctl enrol takes a token from standard input" \
        inside sh -c 'curl -sS -f -X POST "http://127.0.0.1:8081/tokens?format=text" -d "{\"client\": \"invoices\"}" |
                rekeyctl enrol invoices --token-file - --wait'
check "whose dependent is told" await "$(of NOTIFIED plain.service)"
check "and it is current again" matches "$(inside rekeyctl status invoices)" 'invoices +current'

inside systemctl stop rekeyd
check "without rekeyd rekeyctl status reads the files" matches "$(inside rekeyctl status 2>/dev/null)" 'orders +current'
check "and says so" matches "$(inside rekeyctl status 2>&1 >/dev/null)" 'not running'
check "the socket is gone with it" not inside test -e /run/rekeyd/control.sock
inside systemctl start rekeyd
