/*
 * keys.c - THE table of keys (keys.h): path, type, default, limits, help, and what is not yet in this
 * version.
 *
 * To bring a group of keys into the program, add its work to ready[] below; nothing else is needed here.
 * A new key is a field in config.h, a row here, a line in glacis.reference.yaml and a paragraph in
 * glacis.yaml.5 (tests compare the three).  A section's rows stand together: printing opens each once.
 */
#include "config/keys.h"

#include <limits.h>

#include "config/values.h"

#define NAMES_SHOWN 6

#define SECONDS(n) ((uint64_t)(n)*1000)
#define MINUTES(n) ((uint64_t)(n)*60000)
#define HOURS(n) ((uint64_t)(n)*3600000)
#define DAYS(n) ((uint64_t)(n)*86400000)

#define AT(field) offsetof(struct config, field)
#define AT_LISTENER(field) offsetof(struct config_listener, field)
#define AT_PAIR(field) offsetof(struct config_keypair, field)
#define AT_UPSTREAM(field) offsetof(struct config_upstream, field)
#define AT_DOMAIN(field) offsetof(struct config_domain, field)

/* What this version does.  One line here turns on every key that waits for the work. */
static const bool ready[WORK_COUNT] = {
    [WORK_NONE] = true,         [WORK_TLS_GROUP] = true,    [WORK_TLS] = true,
    [WORK_UPSTREAM_TLS] = true, [WORK_TRUSTED] = true,      [WORK_IDENTITY] = true,
    [WORK_NAMES] = true,        [WORK_POLICY] = true,       [WORK_AUTH_RESULTS] = true,
    [WORK_RECIPIENTS] = false,  [WORK_EMAIL_CHECK] = false, [WORK_DKIM] = false,
    [WORK_REDIS] = true,        [WORK_HISTORY] = false,     [WORK_RULES] = true,
    [WORK_LISTS] = true,        [WORK_PAGE] = false,
};

/* clang-format off */
/*
 * path, type, flags, offset,
 *   default, minimum, maximum, choices,
 *   help, work it waits for, values until then
 */
static const struct key table[] = {
    /* top */
    { "version", KEY_VERSION, 0, 0,
      "1", 0, 0, NULL,
      "version of the format", WORK_NONE, NULL },
    { "mode", KEY_CHOICE, 0, AT(mode),
      "enforce", 0, 0, "enforce|monitor",
      "enforce the policy, or only record and tag", WORK_NONE, NULL },

    /* server */
    { "server.hostname", KEY_HOSTNAME, 0, AT(server.hostname),
      NULL, 0, 0, NULL,
      "name in the banner, EHLO and Received; default: the machine's", WORK_NONE, NULL },
    { "server.listen", KEY_LISTEN, 0, AT(server.listen),
      "0.0.0.0:25, [::]:25", 0, 0, NULL,
      "addresses to listen on", WORK_NONE, NULL },
    { "server.listen[].address", KEY_ENDPOINT, KEY_REQUIRED, AT_LISTENER(address),
      NULL, 0, 0, NULL,
      "address and port", WORK_NONE, NULL },
    { "server.listen[].proxy_protocol", KEY_BOOL, 0, AT_LISTENER(proxy_protocol),
      "false", 0, 0, NULL,
      "the PROXY protocol is required from `trusted`", WORK_TRUSTED, NULL },
    { "server.listen[].xclient", KEY_BOOL, 0, AT_LISTENER(xclient),
      "false", 0, 0, NULL,
      "XCLIENT is offered to `trusted`", WORK_TRUSTED, NULL },
    { "server.listen[].trusted", KEY_CIDRS, 0, AT_LISTENER(trusted),
      "", 0, 0, NULL,
      "networks that may use them", WORK_TRUSTED, NULL },
    { "server.listen[].tls", KEY_CHOICE, 0, AT_LISTENER(tls),
      "starttls", 0, 0, "starttls|implicit|off",
      "how TLS begins", WORK_TLS, "starttls|off" },
    { "server.workers", KEY_WORKERS, 0, AT(server.workers),
      "auto", 1, CONFIG_MAX_WORKERS, NULL,
      "worker processes", WORK_NONE, NULL },
    { "server.user", KEY_TEXT, 0, AT(server.user),
      "glacis", 1, 64, NULL,
      "user of workers and recorder when started as root", WORK_NONE, NULL },
    { "server.state_dir", KEY_PATH, 0, AT(server.state_dir),
      "/var/lib/glacis", 1, 0, NULL,
      "database, control socket, spool", WORK_NONE, NULL },
    { "server.spool_dir", KEY_PATH, 0, AT(server.spool_dir),
      "", 0, 0, NULL,
      "files of messages in flight; default: state_dir/spool", WORK_NONE, NULL },
    { "server.banner", KEY_BANNER, 0, AT(server.banner),
      "{server.hostname} ESMTP", 1, 400, NULL,
      "text after 220", WORK_NONE, NULL },
    { "server.private_clients", KEY_CHOICE, 0, AT(server.private_clients),
      "exempt", 0, 0, "exempt|judge",
      "clients on private addresses", WORK_NONE, NULL },
    { "server.greet_delay", KEY_DURATION, KEY_OFF_ZERO, AT(server.greet_delay_ms),
      "2s", 0, SECONDS(60), NULL,
      "the banner comes after this", WORK_NONE, NULL },
    { "server.drain_timeout", KEY_DURATION, KEY_OFF_MAX, AT(server.drain_timeout_ms),
      "2m", SECONDS(1), DAYS(1), NULL,
      "a stop or reload ends sessions after this", WORK_NONE, NULL },
    { "server.sandbox", KEY_BOOL, 0, AT(server.sandbox),
      "true", 0, 0, NULL,
      "system call filter of the workers", WORK_NONE, NULL },

    /* tls */
    { "tls", KEY_SWITCH, 0, 0,
      NULL, 0, 0, NULL,
      "inbound; off is as if it were not there", WORK_NONE, NULL },
    { "tls.certificate", KEY_PATH, KEY_REQUIRED, AT(tls.pair[0].certificate),
      NULL, 1, 0, NULL,
      "PEM file with the chain", WORK_TLS, NULL },
    { "tls.private_key", KEY_PATH, KEY_REQUIRED, AT(tls.pair[0].private_key),
      NULL, 1, 0, NULL,
      "PEM file with the key", WORK_TLS, NULL },
    { "tls.more", KEY_KEYPAIRS, 0, AT(tls.pair),
      "", 0, 0, NULL,
      "further pairs", WORK_TLS, NULL },
    { "tls.more[].certificate", KEY_PATH, KEY_REQUIRED, AT_PAIR(certificate),
      NULL, 1, 0, NULL,
      "PEM file with the chain", WORK_TLS, NULL },
    { "tls.more[].private_key", KEY_PATH, KEY_REQUIRED, AT_PAIR(private_key),
      NULL, 1, 0, NULL,
      "PEM file with the key", WORK_TLS, NULL },
    { "tls.mode", KEY_CHOICE_BOOL, 0, AT(tls.required),
      "opportunistic", 0, 0, "opportunistic|required",
      "may mail come without TLS", WORK_TLS, NULL },
    { "tls.min_version", KEY_TLS_VERSION, 0, AT(tls.min_version),
      "1.2", 0, 0, "1.0|1.1|1.2|1.3",
      "oldest protocol", WORK_TLS, NULL },
    { "tls.ciphers", KEY_CIPHERS, 0, AT(tls.ciphers),
      "default", 1, 1000, NULL,
      "for TLS 1.2 and older: default, strong, or a cipher string of OpenSSL", WORK_TLS, NULL },
    { "tls.client_ca", KEY_PATH, 0, AT(tls.client_ca),
      "", 0, 0, NULL,
      "PEM file; client certificates are asked for and verified against it", WORK_TLS, NULL },
    { "tls.handshake_timeout", KEY_DURATION, 0, AT(tls.handshake_timeout_ms),
      "15s", SECONDS(1), MINUTES(5), NULL,
      "the whole handshake", WORK_TLS, NULL },
    { "tls.not_offered_to", KEY_GROUP, 0, AT(tls.not_offered_to),
      "", 0, 0, NULL,
      "clients that are not offered STARTTLS", WORK_TLS_GROUP, "" },

    /* upstreams */
    { "upstreams", KEY_UPSTREAMS, KEY_REQUIRED, 0,
      NULL, 0, 0, NULL,
      "the servers behind", WORK_NONE, NULL },
    { "upstreams.*.kind", KEY_CHOICE, 0, AT_UPSTREAM(kind),
      "generic", 0, 0, "generic|exchange|groupwise|postfix|exim|rspamd",
      "other defaults for the keys below", WORK_NONE, NULL },
    { "upstreams.*.servers", KEY_SERVERS, KEY_REQUIRED, AT_UPSTREAM(server),
      NULL, 0, 0, NULL,
      "addresses and ports", WORK_NONE, NULL },
    { "upstreams.*.balance", KEY_CHOICE, 0, AT_UPSTREAM(balance),
      "failover", 0, 0, "failover|round_robin|least_sessions",
      "which server comes first", WORK_NONE, NULL },
    { "upstreams.*.tls", KEY_CHOICE, 0, AT_UPSTREAM(tls),
      "opportunistic", 0, 0, "opportunistic|off|required|verify",
      "TLS to the servers", WORK_UPSTREAM_TLS, "opportunistic|off" },
    { "upstreams.*.tls_ca", KEY_CA, 0, AT_UPSTREAM(tls_ca),
      "system", 0, 0, NULL,
      "trust anchors for `verify`", WORK_UPSTREAM_TLS, "system" },
    { "upstreams.*.tls_name", KEY_TEXT, 0, AT_UPSTREAM(tls_name),
      "", 0, 253, NULL,
      "name in the certificate; default: the server's", WORK_UPSTREAM_TLS, "" },
    { "upstreams.*.identity", KEY_CHOICE, 0, AT_UPSTREAM(identity),
      "none", 0, 0, "none|xclient|xforward|proxy_v1|proxy_v2",
      "how the server learns the client", WORK_IDENTITY, "none" },
    { "upstreams.*.connections", KEY_COUNT, 0, AT_UPSTREAM(connections),
      "20", 1, 10000, NULL,
      "per server, probes included", WORK_NONE, NULL },
    { "upstreams.*.size", KEY_SIZE, KEY_OFF_MAX, AT_UPSTREAM(size),
      "off", 1024, 1ull << 40, NULL,
      "largest message", WORK_NONE, NULL },
    { "upstreams.*.remember_unknown", KEY_DURATION, KEY_OFF_MAX, AT_UPSTREAM(remember_unknown_ms),
      "10m", SECONDS(1), DAYS(1), NULL,
      "how long a refusal of an unknown recipient is remembered", WORK_NONE, NULL },
    { "upstreams.*.keep_idle", KEY_COUNT, KEY_OFF_ZERO, AT_UPSTREAM(keep_idle),
      "5", 0, 10000, NULL,
      "idle connections kept, per server", WORK_NONE, NULL },
    { "upstreams.*.hold", KEY_DURATION, KEY_OFF_MAX, AT_UPSTREAM(hold_ms),
      "1s", 100, MINUTES(5), NULL,
      "longest wait of the server for a client", WORK_NONE, NULL },
    { "upstreams.*.queue_wait", KEY_DURATION, 0, AT_UPSTREAM(queue_wait_ms),
      "20s", 100, MINUTES(4), NULL,
      "for a free connection, then 451 4.3.2", WORK_NONE, NULL },
    { "upstreams.*.idle_timeout", KEY_DURATION, KEY_OFF_MAX, AT_UPSTREAM(idle_timeout_ms),
      "45s", SECONDS(1), HOURS(1), NULL,
      "an idle connection is closed", WORK_NONE, NULL },
    { "upstreams.*.max_age", KEY_DURATION, KEY_OFF_MAX, AT_UPSTREAM(max_age_ms),
      "8m", SECONDS(1), DAYS(1), NULL,
      "a connection is not used again after this", WORK_NONE, NULL },
    { "upstreams.*.max_messages", KEY_COUNT, KEY_OFF_MAX | KEY_AUTO_ZERO, AT_UPSTREAM(max_messages),
      "auto", 1, 1000000, NULL,
      "per connection", WORK_NONE, NULL },
    { "upstreams.*.ehlo", KEY_CHOICE, 0, AT_UPSTREAM(ehlo),
      "auto", 0, 0, "ours|client|auto",
      "the name in EHLO", WORK_NONE, NULL },
    { "upstreams.*.timeouts.connect", KEY_DURATION, 0, AT_UPSTREAM(timeouts.connect_ms),
      "10s", 100, MINUTES(5), NULL,
      "for the connection", WORK_NONE, NULL },
    { "upstreams.*.timeouts.greeting", KEY_DURATION, 0, AT_UPSTREAM(timeouts.greeting_ms),
      "60s", SECONDS(1), MINUTES(5), NULL,
      "for the banner", WORK_NONE, NULL },
    { "upstreams.*.timeouts.command", KEY_DURATION, 0, AT_UPSTREAM(timeouts.command_ms),
      "4m", SECONDS(1), MINUTES(30), NULL,
      "for each reply", WORK_NONE, NULL },
    { "upstreams.*.timeouts.final_reply", KEY_DURATION, 0, AT_UPSTREAM(timeouts.final_reply_ms),
      "9m30s", SECONDS(1), HOURS(1), NULL,
      "for the reply to the message", WORK_NONE, NULL },
    { "upstreams.*.health", KEY_SWITCH, 0, 0,
      NULL, 0, 0, "interval",
      "probes", WORK_NONE, NULL },
    { "upstreams.*.health.interval", KEY_DURATION, KEY_OFF_MAX, AT_UPSTREAM(health.interval_ms),
      "30s", SECONDS(1), HOURS(1), NULL,
      "between probes", WORK_NONE, NULL },
    { "upstreams.*.health.fall", KEY_COUNT, 0, AT_UPSTREAM(health.fall),
      "3", 1, 100, NULL,
      "failures until a server is down", WORK_NONE, NULL },
    { "upstreams.*.health.rise", KEY_COUNT, 0, AT_UPSTREAM(health.rise),
      "2", 1, 100, NULL,
      "successes until it is up again", WORK_NONE, NULL },
    { "upstreams.*.rate", KEY_RATE, KEY_OFF_ZERO, AT_UPSTREAM(rate),
      "off", 0, 0, NULL,
      "messages per server", WORK_NONE, NULL },

    /* domains, recipients */
    { "domains", KEY_DOMAINS, KEY_REQUIRED, 0,
      NULL, 0, 0, NULL,
      "domains whose mail is taken", WORK_NONE, NULL },
    { "domains.*.upstream", KEY_DOMAIN_UPSTREAM, 0, AT_DOMAIN(upstream),
      NULL, 0, 0, NULL,
      "where its mail goes", WORK_NONE, NULL },
    { "domains.*.validate", KEY_VALIDATE, 0, AT_DOMAIN(validate),
      "live", 0, 0, "live|file:PATH|none",
      "who knows the recipients", WORK_NONE, NULL },
    { "recipients", KEY_TREE, 0, 0,
      NULL, 0, 0, NULL,
      "blocked and rewritten recipients", WORK_RECIPIENTS, NULL },
    { "groups", KEY_TREE, 0, 0,
      NULL, 0, 0, NULL,
      "named sets for rules", WORK_RULES, NULL },

    /* limits */
    { "limits.connections", KEY_COUNT_64, KEY_OFF_MAX, AT(limits.connections),
      "20000", 1, 1000000, NULL,
      "sessions over all workers", WORK_NONE, NULL },
    { "limits.connections_per_client", KEY_COUNT_64, KEY_OFF_MAX, AT(limits.connections_per_client),
      "50", 1, 1000000, NULL,
      "sessions of one client", WORK_NONE, NULL },
    { "limits.connection_rate", KEY_RATE, KEY_OFF_ZERO, AT(limits.connection_rate),
      "off", 0, 0, NULL,
      "sessions of one client", WORK_NONE, NULL },
    { "limits.message_rate", KEY_RATE, KEY_OFF_ZERO, AT(limits.message_rate),
      "off", 0, 0, NULL,
      "messages of one client, then 451 4.7.1", WORK_NONE, NULL },
    { "limits.message_size", KEY_SIZE, KEY_OFF_MAX, AT(limits.message_size),
      "50MiB", 1024, 1ull << 40, NULL,
      "largest message", WORK_NONE, NULL },
    { "limits.recipients", KEY_COUNT, KEY_OFF_MAX, AT(limits.recipients),
      "200", 100, 100000, NULL,
      "per message, then 452 4.5.3", WORK_NONE, NULL },
    { "limits.messages_per_session", KEY_COUNT, KEY_OFF_MAX, AT(limits.messages_per_session),
      "200", 1, 1000000, NULL,
      "then 421", WORK_NONE, NULL },
    { "limits.errors", KEY_COUNT, KEY_OFF_MAX, AT(limits.errors),
      "20", 1, 100000, NULL,
      "500-504 and 555 replies, then 421", WORK_NONE, NULL },
    { "limits.refused_recipients", KEY_COUNT, KEY_OFF_MAX, AT(limits.refused_recipients),
      "50", 1, 100000, NULL,
      "then 421, with no accepted recipient", WORK_NONE, NULL },
    { "limits.command_timeout", KEY_DURATION, 0, AT(limits.command_timeout_ms),
      "5m", SECONDS(1), HOURS(1), NULL,
      "silence between commands", WORK_NONE, NULL },
    { "limits.command_deadline", KEY_DURATION, KEY_OFF_MAX, AT(limits.command_deadline_ms),
      "60s", SECONDS(1), HOURS(1), NULL,
      "one command line", WORK_NONE, NULL },
    { "limits.data_timeout", KEY_DURATION, 0, AT(limits.data_timeout_ms),
      "3m", SECONDS(1), HOURS(1), NULL,
      "silence within the message", WORK_NONE, NULL },
    { "limits.data_deadline", KEY_DURATION, KEY_OFF_MAX, AT(limits.data_deadline_ms),
      "30m", SECONDS(1), DAYS(1), NULL,
      "the whole message", WORK_NONE, NULL },
    { "limits.session_timeout", KEY_DURATION, KEY_OFF_MAX, AT(limits.session_timeout_ms),
      "2h", SECONDS(1), DAYS(7), NULL,
      "the whole session", WORK_NONE, NULL },
    { "limits.stress", KEY_SWITCH, 0, 0,
      NULL, 0, 0, "at",
      "shorter patience when many are connected", WORK_NONE, NULL },
    { "limits.stress.at", KEY_PERCENT, KEY_OFF_ZERO, AT(limits.stress_at_percent),
      "80%", 1, 100, NULL,
      "share of limits.connections", WORK_NONE, NULL },
    { "limits.stress.command_timeout", KEY_DURATION, 0, AT(limits.stress_command_timeout_ms),
      "10s", SECONDS(1), HOURS(1), NULL,
      "command_timeout then", WORK_NONE, NULL },
    { "limits.headers", KEY_SIZE, 0, AT(limits.headers),
      "256KiB", 1024, 16ull << 20, NULL,
      "header section", WORK_NONE, NULL },
    { "limits.hops", KEY_COUNT, 0, AT(limits.hops),
      "50", 1, 1000, NULL,
      "Received lines, then 554 5.4.6", WORK_NONE, NULL },
    { "limits.memory", KEY_SIZE, KEY_OFF_MAX, AT(limits.memory),
      "512MiB", 1ull << 20, 1ull << 44, NULL,
      "message octets in memory", WORK_NONE, NULL },
    { "limits.spool_memory", KEY_SIZE, 0, AT(limits.spool_memory),
      "256KiB", 4096, 1ull << 30, NULL,
      "of one message; beyond it a file", WORK_NONE, NULL },
    { "limits.spool", KEY_SIZE, KEY_OFF_MAX, AT(limits.spool),
      "4GiB", 1ull << 20, 1ull << 50, NULL,
      "all files together", WORK_NONE, NULL },
    { "limits.ban", KEY_SWITCH, 0, 0,
      NULL, 0, 0, "points",
      "421 at connect after protocol abuse", WORK_NONE, NULL },
    { "limits.ban.points", KEY_COUNT, KEY_OFF_ZERO, AT(limits.ban_points),
      "20", 1, 1000000, NULL,
      "points that ban", WORK_NONE, NULL },
    { "limits.ban.within", KEY_DURATION, 0, AT(limits.ban_within_ms),
      "10m", SECONDS(1), DAYS(7), NULL,
      "they are counted", WORK_NONE, NULL },
    { "limits.ban.for", KEY_DURATION, 0, AT(limits.ban_for_ms),
      "10m", SECONDS(1), DAYS(30), NULL,
      "the ban lasts", WORK_NONE, NULL },
    { "limits.bare_newline", KEY_CHOICE, 0, AT(limits.bare_newline),
      "reject", 0, 0, "reject|normalize",
      "bare CR or LF in DATA", WORK_NONE, NULL },
    { "limits.bare_newline_bdat", KEY_CHOICE, 0, AT(limits.bare_newline_bdat),
      "normalize", 0, 0, "reject|normalize",
      "bare CR or LF in BDAT", WORK_NONE, NULL },
    { "limits.encapsulated", KEY_CHOICE, 0, AT(limits.encapsulated),
      "reject", 0, 0, "reject|pass",
      "local parts that hold another address", WORK_NONE, NULL },
    { "limits.duplicate_guard", KEY_DURATION, KEY_OFF_MAX, AT(limits.duplicate_guard_ms),
      "off", MINUTES(1), DAYS(7), NULL,
      "a retry of a taken message is answered", WORK_NONE, NULL },

    /* smtp */
    { "smtp.chunking", KEY_BOOL, 0, AT(smtp.chunking),
      "true", 0, 0, NULL,
      "CHUNKING is offered", WORK_NONE, NULL },
    { "smtp.smtputf8", KEY_BOOL, 0, AT(smtp.smtputf8),
      "true", 0, 0, NULL,
      "SMTPUTF8 is offered where every upstream takes it", WORK_NONE, NULL },
    { "smtp.dsn", KEY_CHOICE, 0, AT(smtp.dsn),
      "known", 0, 0, "known|true|false",
      "who is offered DSN, where every upstream takes it", WORK_NONE, NULL },

    /* dns */
    { "dns.servers", KEY_RESOLVERS, 0, AT(dns.servers),
      "", 0, 0, NULL,
      "default: /etc/resolv.conf", WORK_NONE, NULL },
    { "dns.timeout", KEY_DURATION, 0, AT(dns.timeout_ms),
      "2s", 100, SECONDS(60), NULL,
      "of one attempt", WORK_NONE, NULL },
    { "dns.attempts", KEY_COUNT, 0, AT(dns.attempts),
      "2", 1, 10, NULL,
      "per question", WORK_NONE, NULL },
    { "dns.cache.entries", KEY_COUNT, 0, AT(dns.cache_entries),
      "200000", 100, 10000000, NULL,
      "answers kept, over all workers", WORK_NONE, NULL },
    { "dns.cache.memory", KEY_SIZE, 0, AT(dns.cache_memory),
      "64MiB", 1ull << 20, 1ull << 40, NULL,
      "octets of memory for them, over all workers", WORK_NONE, NULL },
    { "dns.cache.min_ttl", KEY_DURATION, 0, AT(dns.cache_min_ttl_ms),
      "1s", 0, HOURS(1), NULL,
      "an answer is kept at least", WORK_NONE, NULL },
    { "dns.cache.max_ttl", KEY_DURATION, 0, AT(dns.cache_max_ttl_ms),
      "1h", SECONDS(1), DAYS(7), NULL,
      "an answer is kept at most", WORK_NONE, NULL },
    { "dns.cache.negative_ttl", KEY_DURATION, 0, AT(dns.cache_negative_ttl_ms),
      "5m", SECONDS(1), DAYS(1), NULL,
      "that there is none, at most", WORK_NONE, NULL },
    { "dns.cache.failure_ttl", KEY_DURATION, 0, AT(dns.cache_failure_ttl_ms),
      "5s", 0, MINUTES(5), NULL,
      "a failure", WORK_NONE, NULL },
    { "dns.in_flight", KEY_COUNT, 0, AT(dns.in_flight),
      "128", 8, 10000, NULL,
      "questions at once, per worker", WORK_NONE, NULL },
    { "dns.per_client.questions", KEY_RATE, KEY_OFF_ZERO, AT(dns.client_questions),
      "3000/1m", 0, 0, NULL,
      "questions that one client network may cause", WORK_NONE, NULL },
    { "dns.per_client.failed", KEY_RATE, KEY_OFF_ZERO, AT(dns.client_failed),
      "200/1m", 0, 0, NULL,
      "of them, those that come to nothing", WORK_NONE, NULL },
    { "dns.self_test", KEY_DURATION, KEY_OFF_MAX, AT(dns.self_test_ms),
      "1h", MINUTES(1), DAYS(7), NULL,
      "between tests of the resolver", WORK_NONE, NULL },

    /* policy's own sections */
    { "spf.engine", KEY_CHOICE, 0, AT(spf.engine),
      "native", 0, 0, "native|libspf2",
      "who evaluates", WORK_LISTS, NULL },
    { "spf.identities", KEY_IDENTITIES, 0, AT(spf),
      "helo, mailfrom", 0, 0, NULL,
      "what is checked", WORK_LISTS, NULL },
    { "spf.timeout", KEY_DURATION, 0, AT(spf.timeout_ms),
      "20s", SECONDS(1), SECONDS(60), NULL,
      "of one check, then temperror", WORK_LISTS, NULL },
    { "spf.weak_pass", KEY_PREFIX, KEY_OFF_ZERO, AT(spf.weak_pass_bits),
      "/8", 1, 32, NULL,
      "a pass by more than such a network counts as neutral", WORK_LISTS, NULL },
    { "reputation", KEY_TREE, 0, 0,
      NULL, 0, 0, NULL,
      "reputation lists", WORK_LISTS, NULL },
    { "known_good", KEY_TREE, 0, 0,
      NULL, 0, 0, NULL,
      "who is known to be good", WORK_POLICY, NULL },
    { "zero_day", KEY_TREE, 0, 0,
      NULL, 0, 0, NULL,
      "who is new", WORK_POLICY, NULL },
    { "greylist", KEY_TREE, 0, 0,
      NULL, 0, 0, NULL,
      "greylisting", WORK_POLICY, NULL },
    { "policy", KEY_TREE, 0, 0,
      NULL, 0, 0, NULL,
      "rules", WORK_RULES, NULL },
    { "dkim", KEY_TREE, 0, 0,
      NULL, 0, 0, NULL,
      "DKIM", WORK_DKIM, NULL },
    { "dmarc", KEY_TREE, 0, 0,
      NULL, 0, 0, NULL,
      "DMARC", WORK_DKIM, NULL },
    { "email_check", KEY_TREE, 0, 0,
      NULL, 0, 0, NULL,
      "the address that answers with a report", WORK_EMAIL_CHECK, NULL },

    /* headers */
    { "headers.received", KEY_BOOL, 0, AT(headers.received),
      "true", 0, 0, NULL,
      "our Received field", WORK_NONE, NULL },
    { "headers.authentication_results", KEY_BOOL, 0, AT(headers.authentication_results),
      "true", 0, 0, NULL,
      "our Authentication-Results field", WORK_AUTH_RESULTS, "true" },
    { "headers.authserv_id", KEY_TEXT, 0, AT(headers.authserv_id),
      "", 0, 253, NULL,
      "our name in it; default: server.hostname", WORK_NONE, NULL },
    { "headers.strip_authserv_ids", KEY_AUTHSERV_IDS, 0, AT(headers.strip_authserv_ids),
      "", 0, 0, NULL,
      "further ids whose results are stripped", WORK_NONE, NULL },
    { "headers.received_spf", KEY_BOOL, 0, AT(headers.received_spf),
      "false", 0, 0, NULL,
      "a Received-SPF field", WORK_AUTH_RESULTS, "false" },
    { "headers.verdict", KEY_BOOL, 0, AT(headers.verdict),
      "true", 0, 0, NULL,
      "the X-Glacis tags", WORK_NONE, NULL },
    { "headers.strip", KEY_FIELD_NAMES, 0, AT(headers.strip),
      "X-MS-Exchange-Organization-*, X-MS-Exchange-Forest-*, X-MS-Exchange-CrossTenant-*", 0, 0, NULL,
      "fields that are stripped", WORK_NONE, NULL },
    { "headers.add", KEY_FIELDS, 0, AT(headers.add),
      NULL, 0, 0, NULL,
      "fields that are added", WORK_NONE, NULL },

    /* state, admin, log */
    { "state.backend", KEY_CHOICE, 0, AT(state.backend),
      "embedded", 0, 0, "embedded|redis",
      "where history is kept", WORK_REDIS, "embedded" },
    { "state.redis", KEY_TREE, 0, 0,
      NULL, 0, 0, NULL,
      "the Redis server", WORK_REDIS, NULL },
    { "state.hash_key", KEY_SECRET, 0, AT(state.hash_key),
      "", 0, 200, NULL,
      "key for hashes of addresses; default: one in state_dir", WORK_NONE, NULL },
    { "state.history", KEY_TREE, 0, 0,
      NULL, 0, 0, NULL,
      "recorded decisions", WORK_HISTORY, NULL },
    { "admin", KEY_SWITCH, 0, 0,
      NULL, 0, 0, "listen",
      "metrics and health", WORK_NONE, NULL },
    { "admin.listen", KEY_ADMIN_LISTEN, KEY_OFF_ZERO, AT(admin),
      "127.0.0.1:8025", 0, 0, NULL,
      "metrics and health over HTTP", WORK_NONE, NULL },
    { "admin.token", KEY_SECRET, 0, AT(admin.token),
      "${GLACIS_ADMIN_TOKEN:-}", 0, 200, NULL,
      "needed beyond loopback", WORK_NONE, NULL },
    { "admin.tokens", KEY_TREE, 0, 0,
      NULL, 0, 0, NULL,
      "named tokens", WORK_PAGE, NULL },
    { "admin.names", KEY_ADMIN_NAMES, 0, AT(admin.names),
      "", 0, 0, NULL,
      "host names by which it is asked", WORK_NONE, NULL },
    { "admin.clear", KEY_TREE, 0, 0,
      NULL, 0, 0, NULL,
      "the page beyond loopback", WORK_PAGE, NULL },
    { "log.format", KEY_CHOICE, 0, AT(log.format),
      "json", 0, 0, "json|text",
      "form of a line", WORK_NONE, NULL },
    { "log.to", KEY_LOG_TO, 0, AT(log),
      "stdout", 0, 0, "stdout|stderr|syslog|file:PATH",
      "where lines go", WORK_NONE, NULL },
    { "log.level", KEY_CHOICE, 0, AT(log.level),
      "info", 0, 0, "error|warn|info|debug|trace",
      "the least important that is written", WORK_NONE, NULL },
    { "log.addresses", KEY_CHOICE, 0, AT(log.addresses),
      "full", 0, 0, "full|domain|hash",
      "mail addresses in lines", WORK_NONE, NULL },
};
/* clang-format on */

const struct key *key_table(size_t *count)
{
    *count = ARRAY_LEN(table);
    return table;
}

const struct key *key_find(struct slice path)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (slice_eq(slice_str(table[i].path), path)) {
            return &table[i];
        }
    }
    return NULL;
}

/* Is the row below the path (not the path itself)? */
static bool is_below(const struct key *k, struct slice path)
{
    struct slice full = slice_str(k->path);

    return slice_empty(path) ||
           (full.len > path.len && slice_starts(full, path) && full.ptr[path.len] == '.');
}

bool key_is_section(struct slice path)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (is_below(&table[i], path)) {
            return true;
        }
    }
    return false;
}

bool key_section_refused(struct slice path)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if ((is_below(&table[i], path) || slice_eq(slice_str(table[i].path), path)) &&
            !key_refused(&table[i])) {
            return false;
        }
    }
    return true;
}

bool key_ready(enum key_work work)
{
    return ready[work];
}

bool key_refused(const struct key *k)
{
    return !ready[k->later] && k->now == NULL;
}

struct slice key_scope(const char *path)
{
    struct slice full = slice_str(path);
    size_t end = 0;

    for (size_t i = 0; i + 1 < full.len; i++) {
        if (full.ptr[i + 1] == '.' && (full.ptr[i] == '*' || full.ptr[i] == ']')) {
            end = i + 1;
        }
    }
    return slice_take(full, end);
}

/* The key's own name in the section `path`: the next part of the row's path. */
static struct slice name_in(const struct key *k, struct slice path)
{
    struct slice rest = slice_skip(slice_str(k->path), slice_empty(path) ? 0 : path.len + 1);
    struct slice name = slice_take(rest, slice_find(rest, '.'));

    return slice_take(name, slice_find(name, '['));
}

bool key_has_secret(struct slice path)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (table[i].type == KEY_SECRET && is_below(&table[i], path)) {
            return true;
        }
    }
    return false;
}

void key_put_names(struct slice path, struct buf *out)
{
    struct slice name[NAMES_SHOWN + 1];
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_LEN(table) && n <= NAMES_SHOWN; i++) {
        struct slice one = is_below(&table[i], path) ? name_in(&table[i], path) : SLICE_NONE;

        if (!slice_empty(one) && !key_refused(&table[i]) && (n == 0 || !slice_eq(name[n - 1], one))) {
            name[n++] = one; /* rows of a section stand together */
        }
    }
    for (size_t i = 0; i < n && n <= NAMES_SHOWN; i++) {
        buf_put_str(out, i == 0 ? "" : i + 1 < n ? ", " : " and ");
        buf_put_slice(out, name[i]);
    }
}

const char *key_nearest(struct slice path, struct slice name, struct buf *out)
{
    unsigned best = UINT_MAX;
    struct slice found = SLICE_NONE;

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct slice near = is_below(&table[i], path) ? name_in(&table[i], path) : SLICE_NONE;
        unsigned distance;

        if (value_similar(name, near, &distance) && distance < best) {
            best = distance;
            found = near;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(table) && slice_empty(found); i++) {
        struct slice full = slice_str(table[i].path);
        size_t dot = slice_rfind(full, '.');

        if (slice_eq(slice_skip(full, dot == full.len ? 0 : dot + 1), name) &&
            slice_find(full, '*') == full.len && !key_refused(&table[i])) {
            found = full;
        }
    }
    buf_put_slice(out, found);
    return slice_empty(found) ? NULL : out->ptr;
}
