#!/bin/sh
# Runs NAME on the host and on the machine; prints TAP.
cd "$(dirname "$0")/.." || exit 99
count=0 failed=0

# says WHAT TEXT COMMAND...: the command ends with status 0 and prints TEXT
says()
{
    count=$((count + 1))
    what=$1 text=$2
    shift 2
    if output=$("$@" </dev/null 2>&1) && printf '%s\n' "$output" | grep -qF "$text"; then
        echo "ok $count - $what"
    else
        printf '%s\n' "$output" | sed 's/^/# /'
        echo "not ok $count - $what"
        failed=1
    fi
}

says 'on the host' '1..4' nova-host tests/unit.elf
says 'on the machine' '[NAME-client] sum: 15' nova-run NAME.nova
echo "1..$count"
exit $failed
