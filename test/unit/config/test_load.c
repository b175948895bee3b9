/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_load.c - whole files: each typical mistake with its sentence, verbatim, and what good files set.
 */
#include "helper.h"

/* What a file needs beside the section under test, in two lines: sections begin in line 3. */
#define UP "upstreams: {u: {servers: [\"192.0.2.1:25\"]}}\ndomains: {a.example: u}\n"

struct row {
    const char *label;
    const char *text;
    const char *said;
};

static void check_refused(const struct row *rows, size_t count)
{
    bool ok = true;

    for (size_t i = 0; i < count; i++) {
        ok = said_exactly(rows[i].label, rows[i].text, rows[i].said, false) && ok;
    }
    assert_true(ok);
}

static void unknown_and_misplaced_keys_are_named_with_the_nearest(void **state)
{
    static const struct row rows[] = {
        { "typo in a section", UP "server:\n  lisen: []\n",
          "f:4:3: error: unknown key `lisen` in server; did you mean `listen`?\n" },
        { "typo at the top", UP "sever: {}\n",
          "f:3:1: error: unknown key `sever`; did you mean `server`?\n" },
        { "nothing near", UP "bananas: 1\n", "f:3:1: error: unknown key `bananas`\n" },
        { "in the wrong section", UP "message_size: 5MiB\n",
          "f:3:1: error: unknown key `message_size`; did you mean `limits.message_size`?\n" },
        { "typo in an upstream",
          "upstreams: {u: {servers: [\"192.0.2.1:25\"], conections: 5}}\ndomains: {a.example: u}\n",
          "f:1:44: error: unknown key `conections` in upstreams.u; did you mean `connections`?\n" },
        { "deep",
          "upstreams: {u: {servers: [\"192.0.2.1:25\"], timeouts: {conect: 5s}}}\ndomains: {a.example: u}\n",
          "f:1:55: error: unknown key `conect` in upstreams.u.timeouts; did you mean `connect`?\n" },
        { "path instead of a key", UP "limits.hops: 5\n",
          "f:3:1: error: unknown key `limits.hops`; did you mean `limits: {hops: ...}`?\n" },
        { "B7: a key of the top", UP "server: {mode: monitor}\n",
          "f:3:10: error: unknown key `mode` in server; it stands at the top of the file\n" },
        { "B7: nothing near, and few keys", UP "state: {banana: x}\n",
          "f:3:9: error: unknown key `banana` in state; there are backend, redis and hash_key\n" },
        { "star", UP "\"*\": 5\n", "f:3:1: error: unknown key `*`\n" },
        { "empty key", UP "\"\": 5\n", "f:3:1: error: unknown key ``\n" },
        { "upper case", UP "Server: {}\n", "f:3:1: error: unknown key `Server`; did you mean `server`?\n" },
        { "in a listener",
          UP "server:\n  hostname: mx.test.example\n  listen:\n    - adress: \"0.0.0.0:25\"\n",
          "f:6:7: error: unknown key `adress` in server.listen[]; did you mean `address`?\n" },
    };

    (void)state;
    check_refused(rows, ARRAY_LEN(rows));
}

/* One mistake is one error: what only follows from it is not said. */
static void nothing_follows_from_a_mistake(void **state)
{
    static const struct row rows[] = {
        { "a misspelt section", "upstream: {u: {servers: [\"192.0.2.1:25\"]}}\ndomains: {a.example: u}\n",
          "f:1:1: error: unknown key `upstream`; did you mean `upstreams`?\n" },
        { "another one", "upstreams: {u: {servers: [\"192.0.2.1:25\"]}}\ndomain: {a.example: u}\n",
          "f:2:1: error: unknown key `domain`; did you mean `domains`?\n" },
        { "a misspelt key that is needed",
          "upstreams: {u: {server: [\"192.0.2.1:25\"]}}\ndomains: {a.example: u}\n",
          "f:1:17: error: unknown key `server` in upstreams.u; did you mean `servers`?\n" },
        { "the section given twice",
          "upstreams: {u: {servers: [\"192.0.2.1:25\"]}}\nupstreams: {v: {servers: [\"192.0.2.2:25\"]}}\n"
          "domains: {a.example: v, b.example: w}\n",
          "f:2:1: error: duplicate key `upstreams`; it was given in line 1\n" },
        { "a name that is none",
          "upstreams: {\"u u\": {servers: [\"192.0.2.1:25\"]}, v: {servers: [\"192.0.2.2:25\"]}}\n"
          "domains: {a.example: \"u u\"}\n",
          "f:1:13: error: upstreams: `u u` cannot be a name; letters, digits, - and _ can (at most 63)\n" },
        { "keys beside the name they belong to",
          "upstreams:\n  u:\n  servers: [\"192.0.2.1:25\"]\n  tls: off\ndomains: {a.example: u}\n",
          "f:3:3: error: upstreams: `servers` is a key of an upstream; indent it below `u`\n" },
        { "keys without a name", "upstreams:\n  servers: [\"192.0.2.1:25\"]\ndomains: {a.example: u}\n",
          "f:2:3: error: upstreams: `servers` is a key of an upstream; indent it below a name of your "
          "choice\n" },
        { "no blank behind a colon",
          "upstreams:\n  u:\n    servers:[\"192.0.2.1:25\"]\ndomains: {a.example: u}\n",
          "f:3:5: error: upstreams.u: expected a mapping such as {servers: [\"10.1.1.10:25\"]}, found "
          "`servers:[\\x22192.0.2.1:25\\x22]`: a blank is missing behind the colon\n" },
        { "two mistakes are two",
          "upstreams: {u: {servers: [\"192.0.2.1:25\"]}, v: {serves: [\"192.0.2.2:25\"]}}\n"
          "domains: {a.example: w}\n",
          "f:1:49: error: unknown key `serves` in upstreams.v; did you mean `servers`?\n"
          "f:2:22: error: domains.a.example: there is no upstream `w`; there are u and v\n" },
    };

    check_refused(rows, ARRAY_LEN(rows));
    (void)state;
}

static void values_of_the_wrong_form_say_what_is_expected(void **state)
{
    static const struct row rows[] = {
        { "duration without unit", UP "server: {greet_delay: 5}\n",
          "f:3:23: error: server.greet_delay: expected a duration such as 500ms, 5s, 10m, 2h or 7d, or off, "
          "found `5`\n" },
        { "duration over its limit", UP "server: {greet_delay: 5m}\n",
          "f:3:23: error: server.greet_delay: expected 1m or less, found `5m`\n" },
        { "off where there is none", UP "limits: {command_timeout: off}\n",
          "f:3:27: error: limits.command_timeout: expected a duration such as 500ms, 5s, 10m, 2h or 7d, "
          "found `off`\n" },
        { "size", UP "limits: {message_size: 50M}\n",
          "f:3:24: error: limits.message_size: expected a size such as 64KiB, 50MiB or a number of octets, "
          "or off, found "
          "`50M`\n" },
        { "size below", UP "limits: {headers: 1000}\n",
          "f:3:19: error: limits.headers: expected 1KiB or more, found `1000`\n" },
        { "count below", UP "limits: {recipients: 50}\n",
          "f:3:22: error: limits.recipients: expected 100 or more, found `50`\n" },
        { "count above", UP "dns: {attempts: 50}\n",
          "f:3:17: error: dns.attempts: expected 10 or less, found `50`\n" },
        { "count", UP "limits: {hops: many}\n",
          "f:3:16: error: limits.hops: expected a number, found `many`\n" },
        { "negative", UP "limits: {hops: -5}\n",
          "f:3:16: error: limits.hops: expected a number, found `-5`\n" },
        { "percent", UP "limits: {stress: {at: 80}}\n",
          "f:3:23: error: limits.stress.at: expected a percentage such as 80%, or off, found `80`\n" },
        { "rate", UP "limits: {message_rate: 60}\n",
          "f:3:24: error: limits.message_rate: expected a rate such as 60/1m, or off, found `60`\n" },
        { "bool", UP "smtp: {chunking: yes}\n",
          "f:3:18: error: smtp.chunking: expected true or false, found `yes`\n" },
        { "enum", UP "mode: observe\n",
          "f:3:7: error: mode: expected enforce or monitor, found `observe`\n" },
        { "enum of many", UP "log: {level: warning}\n",
          "f:3:14: error: log.level: expected error, warn, info, debug or trace, found `warning`; did "
          "you mean `warn`?\n" },
        { "nothing", UP "mode:\n", "f:3:6: error: mode: expected enforce or monitor, found nothing\n" },
        { "list for a value", UP "mode: [enforce]\n",
          "f:3:7: error: mode: expected one value, found a list\n" },
        { "value for a section", UP "limits: 5\n", "f:3:9: error: limits: expected a mapping, found `5`\n" },
        { "nothing for a section with required keys", UP "tls:\n",
          "f:3:1: error: tls.certificate is missing: PEM file with the chain\n"
          "f:3:1: error: tls.private_key is missing: PEM file with the key\n" },
        { "list for a section", UP "smtp: []\n",
          "f:3:7: error: smtp: expected a mapping of chunking, smtputf8 and dsn, found an empty list\n" },
        { "value for a switch", UP "limits: {ban: 20}\n",
          "f:3:15: error: limits.ban: expected a mapping of points, within and for, or `off`, found `20`\n" },
        { "version", UP "version: 2\n", "f:3:10: error: version: expected 1, found `2`\n" },
        { "hostname without a dot", UP "server: {hostname: mx1}\n",
          "f:3:20: error: server.hostname: expected a host name with a dot, such as mx1.example.com, found "
          "`mx1`\n" },
        { "hostname that is none", UP "server: {hostname: \"mx 1.example.com\"}\n",
          "f:3:20: error: server.hostname: expected a full host name such as mx1.example.com, found `mx "
          "1.example.com`\n" },
        { "hostname that is an address", UP "server: {hostname: 192.0.2.1}\n",
          "f:3:20: error: server.hostname: expected a full host name such as mx1.example.com, found "
          "`192.0.2.1`\n" },
        { "relative path", UP "server: {state_dir: state}\n",
          "f:3:21: error: server.state_dir: expected an absolute path, found `state`\n" },
        { "empty path", UP "server: {state_dir: \"\"}\n",
          "f:3:21: error: server.state_dir: expected an absolute path, found nothing\n" },
        { "workers", UP "server: {workers: 0}\n",
          "f:3:19: error: server.workers: expected 1 or more, found `0`\n" },
        { "workers, word", UP "server: {workers: all}\n",
          "f:3:19: error: server.workers: expected a number, or auto, found `all`\n" },
        { "banner", UP "server: {banner: \"{hostname}\"}\n",
          "f:3:18: error: server.banner: expected a text in which {server.hostname} is the only name in "
          "braces, found "
          "`{hostname}`\n" },
        { "banner in UTF-8", UP "server: {banner: \"M\xc3\xbcller\"}\n",
          "f:3:18: error: server.banner: expected printable ASCII, found `M\\xc3\\xbcller`\n" },
        { "authserv_id", UP "headers: {authserv_id: \"mx 1; x\"}\n",
          "f:3:24: error: headers.authserv_id: expected an id such as mx1.example.com\n" },
        { "log.to", UP "log: {to: file:log}\n",
          "f:3:11: error: log.to: expected stdout, stderr, syslog or file:/PATH, found `file:log`\n" },
        { "C7: a url in the wrong place", UP "admin: {listen: \"redis://user:secret@127.0.0.1\"}\n",
          "f:3:17: error: admin.listen: expected an address with its port, such as 127.0.0.1:8025, or off, "
          "found "
          "`redis://***@127.0.0.1`\n" },
        { "C4: a name of the admin listener with a port", UP "admin: {names: [\"glacis.example:8025\"]}\n",
          "f:3:17: error: admin.names: expected a host name or an address without a port, such as "
          "glacis.example.com, found `glacis.example:8025`\n" },
        { "mask", UP "admin: {token: \"***\"}\n",
          "f:3:16: error: admin.token: expected the secret itself, not the mask that stands for it in a "
          "printed "
          "configuration\n" },
        { "variable", UP "limits: {hops: \"${GLACIS_UNSET}\"}\n",
          "f:3:16: error: the environment variable GLACIS_UNSET is not set (write ${GLACIS_UNSET:-default} "
          "if it may be "
          "missing)\n" },
    };

    (void)state;
    check_refused(rows, ARRAY_LEN(rows));
}

static void lists_and_addresses_say_what_is_expected(void **state)
{
    static const struct row rows[] = {
        { "listen without port", UP "server: {listen: [\"0.0.0.0\"]}\n",
          "f:3:19: error: server.listen: expected an address with its port, such as 0.0.0.0:25 or [::]:25, "
          "found `0.0.0.0`\n" },
        { "empty listen", UP "server: {listen: []}\n",
          "f:3:18: error: server.listen: at least one address is needed\n" },
        { "nested list", UP "server: {listen: [[x]]}\n",
          "f:3:19: error: server.listen: expected an address or a mapping, found a list\n" },
        { "mapping for a list", UP "dns: {servers: {a: b}}\n",
          "f:3:16: error: dns.servers: expected a list, found a mapping\n" },
        { "resolver", UP "dns: {servers: [dns.example]}\n",
          "f:3:17: error: dns.servers: expected an address such as 192.0.2.53 or [2001:db8::53]:53, found "
          "`dns.example`\n" },
        { "too many resolvers",
          UP
          "dns: {servers: [\"1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4,1.1.1.5,1.1.1.6,1.1.1.7,1.1.1.8,1.1.1.9\"]}\n",
          "f:3:17: error: dns.servers: expected an address such as 192.0.2.53 or [2001:db8::53]:53, found "
          "`1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4,1.1.1.5,1.1.1.6,1.1.1.7,1.1....`\n" },
        { "too many resolvers, with commas",
          UP "dns: {servers: \"1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4,1.1.1.5,1.1.1.6,1.1.1.7,1.1.1.8,1.1.1.9\"}\n",
          "f:3:16: error: dns.servers: at most 8 entries\n" },
        { "field name", UP "headers: {strip: [\"X Bad\"]}\n",
          "f:3:19: error: headers.strip: expected the name of a header field, which may end in `*`, found `X "
          "Bad`\n" },
        { "star alone", UP "headers: {strip: [\"*\"]}\n",
          "f:3:19: error: headers.strip: expected the name of a header field, which may end in `*`, found "
          "`*`\n" },
        { "star within", UP "headers: {strip: [\"X-*-Y\"]}\n",
          "f:3:19: error: headers.strip: expected the name of a header field, which may end in `*`, found "
          "`X-*-Y`\n" },
        { "added field", UP "headers: {add: {X-Glacis-Tag: x}}\n",
          "f:3:17: error: headers.add: `X-Glacis-Tag` is not the name of a header field that can be added "
          "(X-Glacis-* is "
          "ours)\n" },
        { "added text", UP "headers: {add: {X-A: \"{client.name}\"}}\n",
          "f:3:22: error: headers.add: expected a text with only these names in braces: {client.ip} "
          "{client.rdns} "
          "{helo.name} {sender.address} {sender.domain} {session.id} {server.hostname} {recipient.count} "
          "{message.size} {sender.local} {helo.kind} {client.iprev} {spf} {spf.helo} {spf.domain} "
          "{reputation.lists} {reputation.score} {zero_day.reasons} {tls.version} {tls.cipher} "
          "{policy.contact}, found `{client.name}`\n" },
        { "added list", UP "headers: {add: [x]}\n",
          "f:3:16: error: headers.add: expected a mapping of header names to texts, found a list\n" },
        { "a secret that stands too high is not shown", UP "admin: s3cret\n",
          "f:3:8: error: admin: expected a mapping of listen, token and names, or `off`\n" },
        { "admin", UP "admin: {listen: 8025}\n",
          "f:3:17: error: admin.listen: expected an address with its port, such as 127.0.0.1:8025, or off, "
          "found `8025`\n" },
    };

    (void)state;
    check_refused(rows, ARRAY_LEN(rows));
}

static void keys_of_later_versions_are_refused_by_name(void **state)
{
    static const struct row rows[] = {
        { "spf", UP "spf: {engine: best, identities: [helo, from], timeout: 1h, weak_pass: 8, weak: off}\n",
          "f:3:15: error: spf.engine: expected native or libspf2, found `best`\n"
          "f:3:40: error: spf.identities: expected helo or mailfrom, found `from`\n"
          "f:3:56: error: spf.timeout: expected 1m or less, found `1h`\n"
          "f:3:71: error: spf.weak_pass: expected the size of a network such as /8, or off, found `8`\n"
          "f:3:74: error: unknown key `weak` in spf; there are engine, identities, timeout and weak_pass\n" },
        { "others", UP "recipients: {}\nemail_check: {}\n",
          "f:3:1: error: recipients: not in this version\nf:4:1: error: email_check: not in this version\n" },
        { "state", UP "state: {backend: redis, redis: {}, history: {}}\n",
          "f:3:36: error: state.history: not in this version\n" },
    };

    (void)state;
    check_refused(rows, ARRAY_LEN(rows));
}

static void upstreams_and_domains_are_checked(void **state)
{
    static const struct row rows[] = {
        { "empty file", "",
          "f: error: upstreams is missing: the servers behind\nf: error: domains is missing: domains whose "
          "mail is taken\n" },
        { "no mapping", "hello\n",
          "f:1:1: error: expected keys such as upstreams and domains, found a value\n" },
        { "no upstream", "upstreams: {}\ndomains: {a.example: u}\n",
          "f:1:12: error: upstreams: expected at least one name with its servers, such as mail: {servers: "
          "[\"10.1.1.10:25\"]}, found an empty mapping\n" },
        { "upstream without servers", "upstreams: {u: {}}\ndomains: {a.example: u}\n",
          "f:1:13: error: upstreams.u.servers is missing: addresses and ports\n" },
        { "no server in the list", "upstreams: {u: {servers: []}}\ndomains: {a.example: u}\n",
          "f:1:26: error: upstreams.u.servers: at least one server is needed\n" },
        { "server without a port", "upstreams: {u: {servers: [10.1.1.10]}}\ndomains: {a.example: u}\n",
          "f:1:27: error: upstreams.u.servers: expected an address with its port, such as 10.1.1.10:25 or "
          "[2001:db8::1]:25, found `10.1.1.10`\n" },
        { "server twice",
          "upstreams: {u: {servers: \"10.1.1.10:25, 10.1.1.10:25\"}}\ndomains: {a.example: u}\n",
          "f:1:26: error: upstreams.u.servers: 10.1.1.10:25 is given twice\n" },
        { "name of an upstream",
          "upstreams: {\"a b\": {servers: [\"192.0.2.1:25\"]}}\ndomains: {a.example: u}\n",
          "f:1:13: error: upstreams: `a b` cannot be a name; letters, digits, - and _ can (at most 63)\n" },
        { "upstream that is a value", "upstreams: {u: \"192.0.2.1:25\"}\ndomains: {a.example: u}\n",
          "f:1:16: error: upstreams.u: expected a mapping such as {servers: [\"10.1.1.10:25\"]}, found "
          "`192.0.2.1:25`\n" },
        { "unknown upstream",
          "domains:\n  a.example: exchang\nupstreams: {exchange: {servers: [\"192.0.2.1:25\"]}}\n",
          "f:2:14: error: domains.a.example: there is no upstream `exchang`; did you mean `exchange`?\n" },
        { "unknown upstream, not near any",
          "domains:\n  a.example: relay\nupstreams:\n  exchange: {servers: [\"192.0.2.1:25\"]}\n"
          "  groupwise: {servers: [\"192.0.2.2:25\"]}\n",
          "f:2:14: error: domains.a.example: there is no upstream `relay`; there are exchange and "
          "groupwise\n" },
        { "a word that is nearly right", UP "mode: monitr\nlog: {level: warning}\n",
          "f:3:7: error: mode: expected enforce or monitor, found `monitr`; did you mean `monitor`?\n"
          "f:4:14: error: log.level: expected error, warn, info, debug or trace, found `warning`; did you "
          "mean "
          "`warn`?\n" },
        { "no domain", "upstreams: {u: {servers: [\"192.0.2.1:25\"]}}\ndomains: {}\n",
          "f:2:10: error: domains: expected a mapping of domains to upstreams, at least one, found an "
          "empty mapping\n" },
        { "empty text", "upstreams: {u: {servers: [\"192.0.2.1:25\"]}}\ndomains: \"\"\n",
          "f:2:10: error: domains: expected a mapping of domains to upstreams, at least one, found "
          "nothing\n" },
        { "domain that is none",
          "upstreams: {u: {servers: [\"192.0.2.1:25\"]}}\ndomains: {\"user@a.example\": u}\n",
          "f:2:11: error: domains: expected a domain such as example.com or .example.com, found "
          "`user@a.example`\n" },
        { "domain twice",
          "upstreams: {u: {servers: [\"192.0.2.1:25\"]}}\ndomains: {a.example: u, A.Example: u}\n",
          "f:2:25: error: domains: a.example is given twice; it was in line 2\n" },
        { "list with two upstreams",
          "upstreams: {u: {servers: [\"192.0.2.1:25\"]}, v: {servers: [\"192.0.2.2:25\"]}}\ndomains: "
          "a.example\n",
          "f:2:10: error: domains: expected a mapping of domains to upstreams, as there is more than one "
          "upstream\n" },
        { "entry without upstream",
          "upstreams: {u: {servers: [\"192.0.2.1:25\"]}, v: {servers: [\"192.0.2.2:25\"]}}\ndomains: "
          "{a.example: {validate: "
          "live}}\n",
          "f:2:11: error: domains.a.example.upstream is missing: there is more than one\n" },
        { "validate",
          "upstreams: {u: {servers: [\"192.0.2.1:25\"]}}\ndomains: {a.example: {validate: ldap}}\n",
          "f:2:33: error: domains.a.example.validate: expected live, file:/PATH or none, found `ldap`\n" },
        { "nothing behind a domain",
          "upstreams: {u: {servers: [\"192.0.2.1:25\"]}}\ndomains:\n  a.example:\n",
          "f:3:13: error: domains.a.example: expected the name of an upstream, or a mapping\n" },
    };

    (void)state;
    check_refused(rows, ARRAY_LEN(rows));
}

static void all_errors_come_at_once_in_the_order_of_the_file(void **state)
{
    (void)state;
    assert_true(
        said_exactly("many",
                     "mode: off\n"
                     "domains:\n"
                     "  a.example: mial\n"
                     "  b.example: mail\n"
                     "limits:\n"
                     "  hops: x\n"
                     "  hops: y\n"
                     "upstreams:\n"
                     "  mail:\n"
                     "    servers: [\"10.1.1.10:25\"]\n"
                     "    keep_idle: 30\n"
                     "    hold: 5\n",
                     "f:1:7: error: mode: expected enforce or monitor, found `off`\n"
                     "f:3:14: error: domains.a.example: there is no upstream `mial`; did you mean `mail`?\n"
                     "f:6:9: error: limits.hops: expected a number, found `x`\n"
                     "f:7:3: error: duplicate key `hops`; it was given in line 6\n"
                     "f:11:16: error: upstreams.mail.keep_idle: more than `connections`\n"
                     "f:12:11: error: upstreams.mail.hold: expected a duration such as 500ms, 5s, 10m, 2h or "
                     "7d, or off, found `5`\n",
                     false));
}

static void too_many_errors_are_cut(void **state)
{
    struct buf text;
    struct config_errors errs = { .count = 0 };

    (void)state;
    buf_init(&text, 1u << 20);
    for (unsigned i = 0; i < 5000; i++) {
        buf_putf(&text, "k%u: 1\n", i);
    }
    assert_null(config_load_text("f", buf_slice(&text), &errs));
    assert_int_equal(errs.count, 201);
    assert_int_equal(errs.fatal, 5002);
    assert_string_equal(errs.list[200].text, "too many errors; the others are not shown");
    config_errors_fini(&errs);
    buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_and_misplaced_keys_are_named_with_the_nearest),
        { "B7: nothing follows from a mistake", nothing_follows_from_a_mistake, NULL, NULL, NULL },
        cmocka_unit_test(values_of_the_wrong_form_say_what_is_expected),
        cmocka_unit_test(lists_and_addresses_say_what_is_expected),
        cmocka_unit_test(keys_of_later_versions_are_refused_by_name),
        cmocka_unit_test(upstreams_and_domains_are_checked),
        cmocka_unit_test(all_errors_come_at_once_in_the_order_of_the_file),
        cmocka_unit_test(too_many_errors_are_cut),
    };

    setenv("GLACIS_HOSTNAME", "mx.test.example", 1);
    unsetenv("GLACIS_UNSET");
    unsetenv("GLACIS_ADMIN_TOKEN");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
