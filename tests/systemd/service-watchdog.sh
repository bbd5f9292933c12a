# A daemon that hangs is restarted, and knows what it knew: here, that a dependent is still to be told.

inside rm /run/stubborn-may-reload
configure 4096 2048
mark
inside systemctl reload rekeyd
check "a renewal whose dependent cannot be told" await "$(of NOT_NOTIFIED stubborn.service)"
before=$(fingerprint)
restarts=$(property rekeyd NRestarts)
mark
inside systemctl kill --kill-whom=main --signal=STOP rekeyd
check "a daemon that hangs is ended by the watchdog" \
        await '.UNIT == "rekeyd.service" and .UNIT_RESULT == "watchdog"'
check "and comes back" await "$(message_of READY)"
check "with everything that it had" matches "$(field MESSAGE)" '^ready: 2 of 2 '
check "by a restart of the service" same "$(property rekeyd NRestarts)" $((restarts + 1))
check "with its certificate" same "$(fingerprint)" "$before"
inside touch /run/stubborn-may-reload
check "what was owed before is delivered after" await "$(of NOTIFIED stubborn.service)"
check "and to nobody else" same "$(since "$(message_of NOTIFIED)")" 1
check "without another renewal" same "$(since "$(message_of BEGUN)")" 0
