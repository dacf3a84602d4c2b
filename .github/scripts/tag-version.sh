#!/usr/bin/env bash
# Tags the newest version of CHANGELOG.md, with its section as the message, unless the tag exists.
set -euo pipefail
version=$(sed -n '/^## \[[0-9]/{s/^## \[\([^]]*\)\].*/\1/p;q}' CHANGELOG.md)
if [ -z "$version" ]; then
  echo "CHANGELOG.md has no version yet"
  exit 0
fi
if ! grep -qxF "version = \"$version\"" pyproject.toml; then
  echo "::error file=pyproject.toml::its version is not $version, the newest in CHANGELOG.md. Set it to $version"
  exit 1
fi
tag="v$version"
if git ls-remote --exit-code origin "refs/tags/$tag" > /dev/null; then
  echo "$tag exists"
  exit 0
fi
message="Version $version
$(awk -v heading="## [$version]" '/^## / { found = index($0, heading) == 1; next } found' CHANGELOG.md)"
# Git would take the headings in the message for comments.
git -c user.name="github-actions[bot]" -c user.email="41898282+github-actions[bot]@users.noreply.github.com" \
  tag --annotate --cleanup whitespace --message "$message" "$tag"
git push --quiet origin "refs/tags/$tag"
echo "$tag is tagged"
