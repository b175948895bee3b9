desc="glacis, one worker: four lists, SPF, HELO, reverse DNS, headers, live upstream, limits, log"
checks="dnsbl4 spf helo rdns header"; tls=starttls
start() { cat > $RUN/conf.yaml <<X
server: {hostname: mx.example.test, listen: ["127.0.0.1:$PORT"], greet_delay: 0ms, private_clients: judge, user: root, state_dir: $RUN/state, workers: ${GLACIS_WORKERS:-1}}
tls: {certificate: $CERT, private_key: $KEY}
upstreams: {up: {servers: ["127.0.0.1:$SINK_PORT"], tls: off, connections: 200, keep_idle: 100, max_messages: 1000000}}
domains: {example.test: up}
limits: {ban: off, connections_per_client: off, connections: 40000}
headers: {add: {X-Filter: "seen"}}
dns: {servers: ["127.0.0.1:53"], self_test: off}
spf: {weak_pass: off}
reputation:
  lists:
    - {name: bl1, zone: bl1.bl}
    - {name: bl2, zone: bl2.bl}
    - {name: bl3, zone: bl3.bl}
    - {name: bl4, zone: bl4.bl}
policy:
  before:                     # a listed client is refused whatever its SPF says: the peers do the same
    - {name: bench-listed, when: {reputation.listed: true}, then: drop}
admin: {listen: off}
log: {to: file:$RUN/glacis.log}
X
setsid ${GLACIS:?path of the program} run -c $RUN/conf.yaml > $RUN/log 2>&1 & echo $! > $RUN/pid; }
stop() { kill $(cat $RUN/pid); }
