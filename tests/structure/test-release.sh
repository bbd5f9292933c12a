#!/usr/bin/env bash
# scripts/release, on a repository of its own: what it refuses, and what it leaves.
#
#   test-release.sh SOURCES

set -u
. "$(dirname "$0")/../support/tap.sh"

sources=$1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$tap_output" "$work"' EXIT
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null HOME=$work

command -v git >/dev/null || tap_stop "git is not installed"
mkdir -p "$work/tree/scripts" "$work/tree/packaging/debian" && cd "$work/tree" || exit 1
cp "$sources/scripts/release" "$sources/scripts/common.sh" scripts/
cp "$sources/packaging/debian/changelog" packaging/debian/
cp "$sources/meson.build" .
printf '# Changelog\n\n## Unreleased\n\n### Added\n\n- A thing.\n\n## 0.1.0\n\n- Another one.\n' >CHANGELOG.md
git init -q . && git config user.name Tester && git config user.email tester@example.com &&
        git add -A && git commit -q -m begin || exit 1
version=$(sed -n "s/^  version: '\(.*\)',$/\1/p" meson.build)

refused() {
        local text=$1 output
        shift

        output=$(scripts/release "$@" 2>&1) && { echo "it was not refused"; return 1; }
        [[ $output == *"$text"* ]] || { echo "$output"; return 1; }
}

check "no version is refused" refused usage
check "one that is none is refused" refused usage 1.2
check "the same one is refused" refused "is not later than" "$version"
check "an earlier one is refused" refused "is not later than" 0.0.9
echo more >>CHANGELOG.md
check "changes that are not committed are refused" refused "not committed" 999.0.0
git checkout -q CHANGELOG.md
check "a check changes nothing" eval 'scripts/release --check 999.0.0 && [ -z "$(git status --porcelain)" ] && [ -z "$(git tag)" ]'
milestone "a release is made" scripts/release 999.0.0
check "nothing is left over" same "$(git status --porcelain)" ""
check "meson.build has the version" grep -q "^  version: '999.0.0',$" meson.build
check "the changelog has its heading" matches "$(cat CHANGELOG.md)" $'## Unreleased\n\n## 999.0.0 - 20..-..-..\n\n### Added\n\n- A thing.'
check "the package has its entry" matches "$(head -n 1 packaging/debian/changelog)" '^rekeyd \(999\.0\.0\) bookworm;'
check "the tag has the notes" matches "$(git tag -n99 v999.0.0)" '- A thing\.'
check "of this release only" not grep -q Another <<<"$(git tag -n99 v999.0.0)"
check "nothing new is refused" refused "nothing under" 999.0.1
printf '# Changelog\n\n## Unreleased\n\n- x\n' >CHANGELOG.md && git commit -q -a -m more
sed -i "s/999.0.0/998.0.0/" meson.build && git commit -q -a -m back
check "a tag that is there is refused" refused "a tag v999.0.0 already" 999.0.0
tap_end
