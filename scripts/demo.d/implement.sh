#!/bin/sh
# Pretends to implement the design document with the number $1 in one to two seconds. What has gone wrong the
# first time goes well the second time: three numbers fail once, one of them because of a rate limit.
set -eu

number=$1
echo "reading LLD-$(printf %03d "$number").md (with ${DEMO_KEY:-no key})"
sleep 0.5
echo "writing code"
sleep "$(((number % 3) / 2)).$((number % 10))"

if mkdir "tried-$number" 2>/dev/null; then
    case $number in
    26 | 59)
        echo "AssertionError: expected 4 lines, got 5" >&2
        exit 1
        ;;
    48)
        echo 'HTTP 429: {"type":"error","error":{"type":"rate_limit_error","message":"retry in 20s"}}' >&2
        exit 75 # EX_TEMPFAIL
        ;;
    esac
fi

echo "running the tests: all passed"
echo "$number" >>implemented.txt
