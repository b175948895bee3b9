/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics.h - all metrics of glacis: one list, one array, one function that prints it.
 *
 * The array of a process is in its slot of the shared memory (state/state.h), so the recorder can add up all workers
 * without asking them.  Counters only grow.  Gauges rise and fall, and are zeroed with the slot when a process ends.
 * Labels come from this list or the configuration, never from a peer (O3).  A new metric is one row here.
 */
#ifndef CORE_METRICS_H
#define CORE_METRICS_H

#include <stdatomic.h>

#include "core/buf.h"

/*  X(NAME, kind, "prometheus_name", "label=\"value\"" or "", "help")
 *  Rows of one prometheus name must be adjacent; only the help of the first is printed.  SECONDS is a gauge kept in
 *  microseconds and shown in seconds.  test/lint/metrics.sh has the rules for names. */
#define METRICS_LIST(X)                                                                                      \
    X(SESSIONS, COUNTER, "glacis_sessions_total", "", "Sessions accepted")                                   \
    X(SESSIONS_NOW, GAUGE, "glacis_sessions", "", "Sessions open now")                                       \
    X(CLOSE_QUIT, COUNTER, "glacis_closes_total", "reason=\"quit\"", "Sessions ended, by reason")            \
    X(CLOSE_LOST, COUNTER, "glacis_closes_total", "reason=\"lost\"", "")                                     \
    X(CLOSE_TIMEOUT, COUNTER, "glacis_closes_total", "reason=\"timeout\"", "")                               \
    X(CLOSE_ABUSE, COUNTER, "glacis_closes_total", "reason=\"abuse\"", "")                                   \
    X(CLOSE_ERRORS, COUNTER, "glacis_closes_total", "reason=\"errors\"", "")                                 \
    X(CLOSE_LIMIT, COUNTER, "glacis_closes_total", "reason=\"limit\"", "")                                   \
    X(CLOSE_POLICY, COUNTER, "glacis_closes_total", "reason=\"policy\"", "")                                 \
    X(CLOSE_TLS, COUNTER, "glacis_closes_total", "reason=\"tls\"", "")                                       \
    X(CLOSE_SHUTDOWN, COUNTER, "glacis_closes_total", "reason=\"shutdown\"", "")                             \
    X(REFUSED_CONNECTIONS, COUNTER, "glacis_connections_refused_total", "limit=\"connections\"",             \
      "Connections refused at connect, by limit")                                                            \
    X(REFUSED_PER_CLIENT, COUNTER, "glacis_connections_refused_total", "limit=\"per_client\"", "")           \
    X(REFUSED_PER_NETWORK, COUNTER, "glacis_connections_refused_total", "limit=\"per_network\"", "")         \
    X(REFUSED_RATE, COUNTER, "glacis_connections_refused_total", "limit=\"rate\"", "")                       \
    X(REFUSED_BANNED, COUNTER, "glacis_connections_refused_total", "limit=\"banned\"", "")                   \
    X(REFUSED_SILENT, COUNTER, "glacis_connections_refused_total", "limit=\"hard\"", "")                     \
    X(ACCEPT_PAUSED, COUNTER, "glacis_accept_pauses_total", "", "Times accepting paused: no descriptors")    \
    X(MESSAGES_ACCEPTED, COUNTER, "glacis_messages_total", "outcome=\"accepted\"",                           \
      "Messages at their end, by what the client was told")                                                  \
    X(MESSAGES_REJECTED, COUNTER, "glacis_messages_total", "outcome=\"rejected\"", "")                       \
    X(MESSAGES_DEFERRED, COUNTER, "glacis_messages_total", "outcome=\"deferred\"", "")                       \
    X(MESSAGES_UNKNOWN, COUNTER, "glacis_messages_total", "outcome=\"unknown\"", "")                         \
    X(MESSAGES_ABORTED, COUNTER, "glacis_messages_total", "outcome=\"aborted\"", "")                         \
    X(MESSAGE_BYTES, COUNTER, "glacis_message_bytes_total", "", "Octets of accepted messages")               \
    X(DUPLICATES_ANSWERED, COUNTER, "glacis_duplicates_answered_total", "",                                  \
      "Retries answered by the duplicate guard (RFC 1047)")                                                  \
    X(LATE_ACCEPTED, COUNTER, "glacis_late_accepted_total", "",                                              \
      "Messages the upstream took after their client was gone")                                              \
    X(RCPT_ACCEPTED, COUNTER, "glacis_recipients_total", "outcome=\"accepted\"", "Recipients, by answer")    \
    X(RCPT_RELAY_DENIED, COUNTER, "glacis_recipients_total", "outcome=\"relay_denied\"", "")                 \
    X(RCPT_REJECTED, COUNTER, "glacis_recipients_total", "outcome=\"rejected\"", "")                         \
    X(RCPT_DEFERRED, COUNTER, "glacis_recipients_total", "outcome=\"deferred\"", "")                         \
    X(RCPT_REMEMBERED, COUNTER, "glacis_recipients_total", "outcome=\"remembered\"", "")                     \
    X(RCPT_SECOND_ROUTE, COUNTER, "glacis_recipients_total", "outcome=\"second_route\"", "")                 \
    X(ABUSE_PREGREET, COUNTER, "glacis_abuse_total", "kind=\"pregreet\"", "Protocol abuse, by kind")         \
    X(ABUSE_PIPELINING, COUNTER, "glacis_abuse_total", "kind=\"pipelining\"", "")                            \
    X(ABUSE_BARE_LF, COUNTER, "glacis_abuse_total", "kind=\"bare_lf\"", "")                                  \
    X(ABUSE_BARE_CR, COUNTER, "glacis_abuse_total", "kind=\"bare_cr\"", "")                                  \
    X(ABUSE_SMUGGLING, COUNTER, "glacis_abuse_total", "kind=\"smuggling\"", "")                              \
    X(ABUSE_NON_SMTP, COUNTER, "glacis_abuse_total", "kind=\"non_smtp\"", "")                                \
    X(ABUSE_JUNK, COUNTER, "glacis_abuse_total", "kind=\"junk\"", "")                                        \
    X(ABUSE_LONG_LINE, COUNTER, "glacis_abuse_total", "kind=\"long_line\"", "")                              \
    X(ABUSE_NUL, COUNTER, "glacis_abuse_total", "kind=\"nul\"", "")                                          \
    X(ABUSE_RELAY, COUNTER, "glacis_abuse_total", "kind=\"relay\"", "")                                      \
    X(ABUSE_BDAT, COUNTER, "glacis_abuse_total", "kind=\"bdat\"", "")                                        \
    X(ABUSE_STARTTLS, COUNTER, "glacis_abuse_total", "kind=\"starttls_injection\"", "")                      \
    X(ABUSE_LOOP, COUNTER, "glacis_abuse_total", "kind=\"loop\"", "")                                        \
    X(BANS, COUNTER, "glacis_bans_total", "", "Clients banned")                                              \
    X(BANS_MONITORED, COUNTER, "glacis_bans_monitored_total", "", "Bans not applied: mode is monitor")       \
    X(LIMIT_LINE, COUNTER, "glacis_limit_hits_total", "limit=\"line\"", "Caps reached, by cap")              \
    X(LIMIT_ERRORS, COUNTER, "glacis_limit_hits_total", "limit=\"errors\"", "")                              \
    X(LIMIT_RECIPIENTS, COUNTER, "glacis_limit_hits_total", "limit=\"recipients\"", "")                      \
    X(LIMIT_SIZE, COUNTER, "glacis_limit_hits_total", "limit=\"message_size\"", "")                          \
    X(LIMIT_HEADERS, COUNTER, "glacis_limit_hits_total", "limit=\"headers\"", "")                            \
    X(LIMIT_MEMORY, COUNTER, "glacis_limit_hits_total", "limit=\"memory\"", "")                              \
    X(LIMIT_SPOOL, COUNTER, "glacis_limit_hits_total", "limit=\"spool\"", "")                                \
    X(LIMIT_MESSAGES, COUNTER, "glacis_limit_hits_total", "limit=\"messages_per_session\"", "")              \
    X(LIMIT_TABLE_FULL, COUNTER, "glacis_limit_hits_total", "limit=\"client_table\"", "")                    \
    X(STRESS, GAUGE, "glacis_stress", "", "1 while time-outs are shortened")                                 \
    X(MEMORY_USED, GAUGE, "glacis_message_memory_bytes", "", "Message octets in memory")                     \
    X(MEMORY_HELD, GAUGE, "glacis_memory_bytes", "",                                                         \
      "What limits.memory counts: messages, envelopes, judgements, DNS caches")                              \
    X(DNS_CACHE_BYTES, GAUGE, "glacis_dns_cache_bytes", "", "Of these: answers in the DNS caches")           \
    X(SPOOL_USED, GAUGE, "glacis_spool_bytes", "", "Message octets in spool files")                          \
    X(SPOOL_ERRORS, COUNTER, "glacis_spool_errors_total", "",                                                \
      "Spool files that could not be written or read")                                                       \
    X(UP_CONNECTS, COUNTER, "glacis_upstream_connects_total", "", "Upstream connections opened")             \
    X(UP_CONNECT_FAILURES, COUNTER, "glacis_upstream_connect_failures_total", "",                            \
      "Upstream connects that failed")                                                                       \
    X(UP_REUSED, COUNTER, "glacis_upstream_reuses_total", "", "Leases served by an open connection")         \
    X(UP_STALE, COUNTER, "glacis_upstream_stale_total", "", "Idle connections found dead and replaced")      \
    X(UP_LEASED, GAUGE, "glacis_upstream_connections", "state=\"leased\"", "Upstream connections, by state") \
    X(UP_IDLE, GAUGE, "glacis_upstream_connections", "state=\"idle\"", "")                                   \
    X(UP_CONNECTING, GAUGE, "glacis_upstream_connections", "state=\"connecting\"", "")                       \
    X(UP_WAITING, GAUGE, "glacis_upstream_waiting", "", "Transactions waiting for an upstream connection")   \
    X(UP_WAIT_TIMEOUTS, COUNTER, "glacis_upstream_wait_timeouts_total", "", "Waits that ended in 451 4.3.2") \
    X(UP_HELD_BACK, COUNTER, "glacis_upstream_returned_early_total", "",                                     \
      "Leases given back for a slow client")                                                                 \
    X(UP_REFUSES_US, COUNTER, "glacis_upstream_refused_glacis_total", "",                                    \
      "Refusals of glacis itself: someone must act")                                                         \
    X(UP_PROTOCOL_ERRORS, COUNTER, "glacis_upstream_protocol_errors_total", "",                              \
      "Malformed or unexpected upstream replies")                                                            \
    X(UP_TIMEOUTS, COUNTER, "glacis_upstream_timeouts_total", "",                                            \
      "Upstream commands without an answer in time")                                                         \
    X(UP_LOST_FINAL, COUNTER, "glacis_upstream_lost_replies_total", "",                                      \
      "Final replies lost after the dot (RFC 1047)")                                                         \
    X(UP_MARKED_DOWN, COUNTER, "glacis_upstream_marked_down_total", "", "Times a server was marked down")    \
    X(UP_PROBES, COUNTER, "glacis_upstream_probes_total", "", "Health probes")                               \
    X(UP_TLS_OK, COUNTER, "glacis_upstream_tls_total", "outcome=\"ok\"",                                     \
      "TLS handshakes with upstreams, by outcome")                                                           \
    X(UP_TLS_FAILED, COUNTER, "glacis_upstream_tls_total", "outcome=\"failed\"", "")                         \
    X(UP_TLS_CLEAR, COUNTER, "glacis_upstream_tls_total", "outcome=\"clear\"", "")                           \
    X(UP_EIGHT_BIT, COUNTER, "glacis_upstream_8bit_total", "",                                               \
      "Messages with 8-bit content passed to a server without 8BITMIME")                                     \
    X(UP_IDENTITY_REFUSED, COUNTER, "glacis_upstream_identity_refused_total", "",                            \
      "XCLIENT and XFORWARD commands that an upstream refused")                                              \
    X(DNS_QUESTIONS, COUNTER, "glacis_dns_questions_total", "", "Names asked for, by whatever check")        \
    X(DNS_CACHE_HITS, COUNTER, "glacis_dns_cache_hits_total", "", "Of these: answered from the cache")       \
    X(DNS_SENT, COUNTER, "glacis_dns_sent_total", "",                                                        \
      "Questions sent to DNS servers, repeats and probes included")                                          \
    X(DNS_TIMEOUTS, COUNTER, "glacis_dns_failures_total", "why=\"timeout\"",                                 \
      "Attempts that failed, by reason")                                                                     \
    X(DNS_SERVFAIL, COUNTER, "glacis_dns_failures_total", "why=\"servfail\"", "")                            \
    X(DNS_REFUSED, COUNTER, "glacis_dns_failures_total", "why=\"refused\"", "")                              \
    X(DNS_GARBAGE, COUNTER, "glacis_dns_failures_total", "why=\"garbage\"", "")                              \
    X(DNS_NETWORK, COUNTER, "glacis_dns_failures_total", "why=\"network\"", "")                              \
    X(DNS_OVERLOAD, COUNTER, "glacis_dns_failures_total", "why=\"overload\"", "")                            \
    X(DNS_STRAYS, COUNTER, "glacis_dns_strays_total", "",                                                    \
      "Datagrams from DNS servers that answer no question that is out: late, or forged")                     \
    X(DNS_PACED, COUNTER, "glacis_dns_paced_total", "",                                                      \
      "Questions not asked: a client's network caused too many (dns.per_client)")                            \
    X(DNS_TEMPFAILS, COUNTER, "glacis_dns_tempfails_total", "", "Names that no DNS server could tell about") \
    X(DNS_IN_FLIGHT, GAUGE, "glacis_dns_in_flight", "", "Questions at DNS servers now")                      \
    X(DNS_QUEUED, GAUGE, "glacis_dns_queued", "", "Questions waiting for their turn")                        \
    X(DNS_SERVERS_DOWN, GAUGE, "glacis_dns_servers_down", "",                                                \
      "DNS servers marked down, summed over workers")                                                        \
    X(SPF_PASS, COUNTER, "glacis_spf_results_total", "result=\"pass\"", "SPF checks, by result")             \
    X(SPF_FAIL, COUNTER, "glacis_spf_results_total", "result=\"fail\"", "")                                  \
    X(SPF_SOFTFAIL, COUNTER, "glacis_spf_results_total", "result=\"softfail\"", "")                          \
    X(SPF_NEUTRAL, COUNTER, "glacis_spf_results_total", "result=\"neutral\"", "")                            \
    X(SPF_NONE, COUNTER, "glacis_spf_results_total", "result=\"none\"", "")                                  \
    X(SPF_TEMPERROR, COUNTER, "glacis_spf_results_total", "result=\"temperror\"", "")                        \
    X(SPF_PERMERROR, COUNTER, "glacis_spf_results_total", "result=\"permerror\"", "")                        \
    X(DKIM_PASS, COUNTER, "glacis_dkim_results_total", "result=\"pass\"",                                    \
      "Messages, by the best of their DKIM signatures")                                                      \
    X(DKIM_FAIL, COUNTER, "glacis_dkim_results_total", "result=\"fail\"", "")                                \
    X(DKIM_NONE, COUNTER, "glacis_dkim_results_total", "result=\"none\"", "")                                \
    X(DKIM_POLICY, COUNTER, "glacis_dkim_results_total", "result=\"policy\"", "")                            \
    X(DKIM_NEUTRAL, COUNTER, "glacis_dkim_results_total", "result=\"neutral\"", "")                          \
    X(DKIM_TEMPERROR, COUNTER, "glacis_dkim_results_total", "result=\"temperror\"", "")                      \
    X(DKIM_PERMERROR, COUNTER, "glacis_dkim_results_total", "result=\"permerror\"", "")                      \
    X(DMARC_PASS, COUNTER, "glacis_dmarc_results_total", "result=\"pass\"", "Messages, by DMARC")            \
    X(DMARC_FAIL, COUNTER, "glacis_dmarc_results_total", "result=\"fail\"", "")                              \
    X(DMARC_NONE, COUNTER, "glacis_dmarc_results_total", "result=\"none\"", "")                              \
    X(DMARC_TEMPERROR, COUNTER, "glacis_dmarc_results_total", "result=\"temperror\"", "")                    \
    X(DMARC_PERMERROR, COUNTER, "glacis_dmarc_results_total", "result=\"permerror\"", "")                    \
    X(JUDGED_ACCEPT, COUNTER, "glacis_judgements_total", "action=\"accept\"",                                \
      "Recipients and messages judged, by action")                                                           \
    X(JUDGED_BYPASS, COUNTER, "glacis_judgements_total", "action=\"bypass\"", "")                            \
    X(JUDGED_REJECT, COUNTER, "glacis_judgements_total", "action=\"reject\"", "")                            \
    X(JUDGED_DEFER, COUNTER, "glacis_judgements_total", "action=\"defer\"", "")                              \
    X(JUDGED_DROP, COUNTER, "glacis_judgements_total", "action=\"drop\"", "")                                \
    X(JUDGED_DIVERT, COUNTER, "glacis_judgements_total", "action=\"divert\"", "")                            \
    X(BUDGET_TIMEOUTS, COUNTER, "glacis_budget_timeouts_total", "",                                          \
      "Judgements whose look-ups had not all answered when policy.budget was over")                          \
    X(SECCOMP_DENIED, COUNTER, "glacis_sandbox_denied_total", "",                                            \
      "System calls that the sandbox refused: normal work makes none")                                       \
    X(LOG_DROPPED, COUNTER, "glacis_log_dropped_total", "",                                                  \
      "Log lines dropped: the recorder is slow or away")                                                     \
    X(LONGEST_TURN_US, SECONDS, "glacis_longest_turn_seconds", "",                                           \
      "Longest turn of an event loop in the last seconds")                                                   \
    X(WORKERS, GAUGE, "glacis_workers", "", "Workers of the newest generation that are alive")               \
    X(WORKERS_DRAINING, GAUGE, "glacis_workers_draining", "", "Workers of older generations")                \
    X(WORKER_RESTARTS, COUNTER, "glacis_worker_restarts_total", "",                                          \
      "Workers replaced after a crash or a hang")                                                            \
    X(RELOADS, COUNTER, "glacis_reloads_total", "outcome=\"ok\"", "Reloads, by outcome")                     \
    X(RELOADS_FAILED, COUNTER, "glacis_reloads_total", "outcome=\"refused\"", "")                            \
    X(GENERATION, GAUGE, "glacis_generation", "", "Number of the configuration in force")                    \
    X(CONFIG_REFUSED_NOW, GAUGE, "glacis_config_refused", "",                                                \
      "1 while the configuration file is refused and an older one is in force")                              \
    X(TLS_1_3, COUNTER, "glacis_tls_handshakes_total", "version=\"1.3\"",                                    \
      "Handshakes done with clients, by version")                                                            \
    X(TLS_1_2, COUNTER, "glacis_tls_handshakes_total", "version=\"1.2\"", "")                                \
    X(TLS_OLD, COUNTER, "glacis_tls_handshakes_total", "version=\"older\"", "")                              \
    X(TLS_RESUMED, COUNTER, "glacis_tls_resumed_total", "", "Of these: resumed with a ticket")               \
    X(TLS_FAILED, COUNTER, "glacis_tls_failures_total", "why=\"handshake\"",                                 \
      "Handshakes with clients that failed, by reason")                                                      \
    X(TLS_TIMEOUTS, COUNTER, "glacis_tls_failures_total", "why=\"timeout\"", "")                             \
    X(TLS_BUSY, COUNTER, "glacis_tls_failures_total", "why=\"busy\"", "")                                    \
    X(TLS_MISMATCH, COUNTER, "glacis_tls_failures_total", "why=\"mismatch\"", "")                            \
    X(TLS_WITHHELD, COUNTER, "glacis_tls_withheld_total", "",                                                \
      "Clients not offered STARTTLS for an hour: two handshakes found no shared version, cipher or group")   \
    X(TLS_HANDSHAKES_NOW, GAUGE, "glacis_tls_handshakes", "", "Handshakes with clients in progress")         \
    X(CERT_RENEWED, COUNTER, "glacis_certificate_renewals_total", "outcome=\"ok\"",                          \
      "Changed certificates, by outcome")                                                                    \
    X(CERT_REFUSED, COUNTER, "glacis_certificate_renewals_total", "outcome=\"refused\"", "")                 \
    X(CERT_REFUSED_NOW, GAUGE, "glacis_certificates_refused", "",                                            \
      "1 while the certificate files cannot be taken and the old ones serve")                                \
    X(CERT_EXPIRED_NOW, GAUGE, "glacis_certificates_expired", "", "Expired certificates in use")             \
    X(MATERIAL_MISSING, GAUGE, "glacis_material_missing", "",                                                \
      "Errors in files that the configuration names, without which a start went on")                         \
    X(PROXY_ANNOUNCED, COUNTER, "glacis_proxy_headers_total", "outcome=\"announced\"",                       \
      "PROXY headers, by outcome")                                                                           \
    X(PROXY_LOCAL, COUNTER, "glacis_proxy_headers_total", "outcome=\"local\"", "")                           \
    X(PROXY_BAD_HEADER, COUNTER, "glacis_proxy_headers_total", "outcome=\"bad\"", "")                        \
    X(PROXY_TIMEOUTS, COUNTER, "glacis_proxy_headers_total", "outcome=\"timeout\"", "")                      \
    X(PROXY_UNTRUSTED, COUNTER, "glacis_proxy_headers_total", "outcome=\"untrusted\"", "")                   \
    X(XCLIENT_TAKEN, COUNTER, "glacis_xclient_total", "outcome=\"taken\"", "XCLIENT commands, by outcome")   \
    X(XCLIENT_REFUSED, COUNTER, "glacis_xclient_total", "outcome=\"refused\"", "")                           \
    X(RESOLVER_GRADE, GAUGE, "glacis_resolver_grade", "",                                                    \
      "Last self-test of the resolver: 0 ok, 1 warn, 2 broken, 3 no answer")                                 \
    X(PRIVATE_CLIENTS, COUNTER, "glacis_private_clients_total", "",                                          \
      "Sessions of clients on private addresses, not judged by address")                                     \
    X(MEMORY_BUSY, COUNTER, "glacis_memory_busy_total", "",                                                  \
      "Look-ups in shared tables given up: the lock was taken")                                              \
    X(MEMORY_EVICTED, COUNTER, "glacis_memory_evicted_total", "",                                            \
      "Live entries that gave way in a full shared table")                                                   \
    X(SNAPSHOT_ROWS, COUNTER, "glacis_snapshot_rows_total", "", "Rows written to the database")              \
    X(SNAPSHOT_ERRORS, COUNTER, "glacis_snapshot_errors_total", "", "Snapshots that could not be written")   \
    X(SHARED_ASKED, COUNTER, "glacis_shared_memory_questions_total", "",                                     \
      "Questions to the shared backend (redis)")                                                             \
    X(SHARED_LATE, COUNTER, "glacis_shared_memory_failures_total", "why=\"timeout\"",                        \
      "Answers from local memory instead, by reason")                                                        \
    X(SHARED_AWAY, COUNTER, "glacis_shared_memory_failures_total", "why=\"away\"", "")                       \
    X(SHARED_BUSY, COUNTER, "glacis_shared_memory_failures_total", "why=\"busy\"", "")                       \
    X(SHARED_UP, GAUGE, "glacis_shared_memory_up", "", "Workers whose shared backend answers")               \
    X(GREYLISTED, COUNTER, "glacis_greylist_total", "outcome=\"waits\"",                                     \
      "Recipients greylisted, by outcome")                                                                   \
    X(GREYLIST_PASSED, COUNTER, "glacis_greylist_total", "outcome=\"passed\"", "")                           \
    X(LIST_DEMOTIONS, COUNTER, "glacis_list_demotions_total", "",                                            \
      "Reputation lists demoted to monitor by the guard")                                                    \
    X(LIST_RESTORED, COUNTER, "glacis_list_restored_total", "", "Demoted lists that returned")               \
    X(LIST_BREAKERS, COUNTER, "glacis_list_breaker_total", "",                                               \
      "Times a list that does not answer was skipped from then on")                                          \
    X(LIST_ALARMS, COUNTER, "glacis_list_alarms_total", "",                                                  \
      "Alarms of the guard that change nothing: surge, silence, refusal")

enum metric {
#define X(name, kind, prom, label, help) M_##name,
    METRICS_LIST(X)
#undef X
        METRIC_COUNT,
};

enum metric_kind {
    METRIC_COUNTER = 0,
    METRIC_GAUGE,
    METRIC_SECONDS, /* a gauge in microseconds, shown in seconds */
};

struct metric_info {
    const char *name;  /* "glacis_sessions_total" */
    const char *label; /* "" or key="value" */
    const char *help;
    enum metric_kind kind;
};
extern const struct metric_info metric_table[METRIC_COUNT];

/* Sets the array of this process: METRIC_COUNT numbers, one writer; NULL selects a private array. */
void metrics_use(_Atomic uint64_t *array);

extern _Atomic uint64_t *metrics_array; /* never NULL */

static inline void count_n(enum metric m, uint64_t n)
{
    atomic_fetch_add_explicit(&metrics_array[m], n, memory_order_relaxed);
}

static inline void count(enum metric m)
{
    count_n(m, 1);
}

static inline void gauge_add(enum metric m, int64_t n)
{
    count_n(m, (uint64_t)n); /* two's complement: adding -1 subtracts */
}

static inline void gauge_set(enum metric m, uint64_t value)
{
    atomic_store_explicit(&metrics_array[m], value, memory_order_relaxed);
}

static inline uint64_t metric_get(enum metric m)
{
    return atomic_load_explicit(&metrics_array[m], memory_order_relaxed);
}

/* Prints one value: gauges may be negative, SECONDS have six decimals. */
void metrics_put_value(struct buf *out, enum metric_kind kind, uint64_t value);

/* Prometheus text format of METRIC_COUNT sums. */
void metrics_render(struct buf *out, const uint64_t values[METRIC_COUNT]);

#endif
