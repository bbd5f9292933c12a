#!/usr/bin/env bash
# The AppArmor profile: its parser takes it, and it can be told from one that is wrong. Nothing is loaded.
#
#   test-apparmor.sh PROFILE

set -u
. "$(dirname "$0")/../support/tap.sh"

profile=$1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$tap_output" "$work"' EXIT
PATH=$PATH:/usr/sbin:/sbin

command -v apparmor_parser >/dev/null || tap_stop "apparmor_parser is not installed"
sed 's/network inet stream,/network inet steam,/' "$profile" >"$work/wrong"
check "the parser refuses a profile that is wrong" not apparmor_parser -Q -K -T "$work/wrong"
check "the parser takes it" apparmor_parser -Q -K -T "$profile"
check "it is of the program as it is installed" grep -q '^profile rekeyd /usr/sbin/rekeyd flags=(complain) {$' "$profile"
check "other directories have their place" grep -q 'include if exists <local/usr.sbin.rekeyd>' "$profile"
tap_end
