desc="glacis, one worker, no rules: headers, live upstream, limits, log"
checks="header"; tls=starttls
start() { cat > $RUN/conf.yaml <<X
server: {hostname: mx.example.test, listen: ["127.0.0.1:$PORT"], greet_delay: 0ms, private_clients: judge, user: root, state_dir: $RUN/state, workers: ${GLACIS_WORKERS:-1}}
tls: {certificate: $CERT, private_key: $KEY}
upstreams: {up: {servers: ["127.0.0.1:$SINK_PORT"], tls: off, connections: 200, keep_idle: 100, max_messages: 1000000}}
domains: {example.test: up}
limits: {ban: off, connections_per_client: off, connections: 40000}
headers: {add: {X-Filter: "seen"}}
policy: {preset: none, rules: []}
admin: {listen: off}
log: {to: file:$RUN/glacis.log}
X
setsid ${GLACIS:?path of the program} run -c $RUN/conf.yaml > $RUN/log 2>&1 & echo $! > $RUN/pid; }
stop() { kill $(cat $RUN/pid); }
