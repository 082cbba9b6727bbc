#!/usr/bin/env bash
# Unpacks RabbitMQ and the Erlang that it runs on, as Debian packages them, below a folder: nothing goes into the
# system, and root is not needed. apt checks what it fetches against its signed lists.
#
#   tests/install_rabbitmq.sh .venv/rabbitmq
set -euo pipefail

into=$1
packages=(
    rabbitmq-server erlang-base erlang-asn1 erlang-crypto erlang-eldap erlang-inets erlang-mnesia erlang-os-mon
    erlang-parsetools erlang-public-key erlang-runtime-tools erlang-ssl erlang-syntax-tools erlang-tools erlang-xmerl
)

not_installed() {
    echo "RabbitMQ not installed: $1; tests that need it will fail. \`make rabbitmq\` tries again" >&2
    exit 0
}

[ ! -e "$into/.installed" ] || exit 0
if [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]; then
    echo "RabbitMQ: the system's is used" && exit 0
fi
command -v apt-get dpkg-deb >/dev/null || not_installed "there is no apt here; install rabbitmq-server yourself"

mkdir -p "$into"
into=$(cd "$into" && pwd)
work=$(mktemp -d "$into/fetching.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
# Lists of its own where the system has none, as in a fresh container: updating the system's would need root.
mkdir -p lists/partial cache/archives/partial
own_lists=(-o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=)
fetch() { apt-get -qq -o APT::Sandbox::User= "$@" download "${packages[@]}" >apt.log 2>&1; }
fetch || { apt-get -qq "${own_lists[@]}" update >apt.log 2>&1 && fetch "${own_lists[@]}"; } ||
    not_installed "apt cannot fetch it ($(grep -m1 '^E:' apt.log || echo 'no reason given'))"

for package in ./*.deb; do
    dpkg-deb -x "$package" "$into"
done
# Erlang's launchers name the place where Debian puts it.
for launcher in "$into"/usr/lib/erlang/bin/{erl,start} "$into"/usr/lib/erlang/erts-*/bin/{erl,start}; do
    [ ! -f "$launcher" ] || sed -i "s|^\( *ROOTDIR=\).*|\1\"$into/usr/lib/erlang\"|" "$launcher"
done
"$into/usr/lib/erlang/bin/erl" -noshell -eval 'crypto:start(), halt().' >erl.log 2>&1 ||
    not_installed "its Erlang does not run here ($(head -c 200 erl.log))"
touch "$into/.installed"
echo "RabbitMQ: $(cd "$into/usr/lib/rabbitmq/lib" && echo rabbitmq_server-*) in $(du -sh "$into" | cut -f1)"
