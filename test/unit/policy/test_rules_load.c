/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_rules_load.c - files with mistakes, word for word; groups and their files; what is printed loads
 * again.
 */
#include "rules_fixture.h"

struct row {
    const char *label, *yaml, *said;
};

static void run_rows(const struct row *rows, size_t count)
{
    size_t failed = 0;

    for (size_t i = 0; i < count; i++) {
        struct fixture f;
        struct buf said;

        fixture_load(&f, rows[i].yaml);
        buf_init(&said, 1u << 20);
        config_errors_print(&f.errs, "f", &said);
        if (!slice_eq(buf_slice(&said), slice_str(rows[i].said)) || (f.p == NULL) != (f.errs.fatal > 0)) {
            print_error("%s: said\n%s\n", rows[i].label, said.len > 0 ? said.ptr : "nothing");
            failed++;
        }
        buf_fini(&said);
        fixture_free(&f);
    }
    assert_int_equal(failed, 0);
}

#define R "policy:\n  rules:\n" /* rules begin in line 3 */

static void mistakes_are_named_with_their_place(void **state)
{
    static const struct row rows[] = {
        { "nothing", "{}", "" },
        { "all of it", "policy: {preset: spf-first, default: accept}", "" },
        { "unknown key", "policy: {befor: []}",
          "f:1:10: error: unknown key `befor` in policy; did you mean `before`?\n" },
        { "preset", "policy: {preset: strict}",
          "f:1:18: error: policy.preset: expected spf-first or none, found `strict`\n" },
        { "no rules", "policy: {rules: []}",
          "f:1:17: warning: policy.rules is empty: nothing is refused by rules\n" },
        { "replaced",
          R "    - {name: a, when: {spf: pass}, then: accept}\n  before:\n    - {name: b, then: accept}\n",
          "f:5:5: warning: policy.before has no effect: policy.rules replaces it\n" },
        { "no name", R "    - {then: accept}\n", "f:3:7: error: a rule needs a name of [a-z0-9-]\n" },
        { "bad name", R "    - {name: A_b, then: accept}\n",
          "f:3:14: error: expected a rule's name of [a-z0-9-], other than `default`, found `A_b`\n" },
        { "name twice", R "    - {name: a, when: {spf: pass}, then: accept}\n    - {name: a, then: accept}\n",
          "f:4:14: error: rule a: the name is taken by the rule in line 3\n" },
        { "name of the preset", "policy:\n  after:\n    - {name: spf-pass, then: accept}\n",
          "f:3:14: error: rule spf-pass: the preset has a rule of this name; `override` changes it\n" },
        { "no then", R "    - {name: a}\n", "f:3:7: error: rule a: `then` is missing\n" },
        { "unknown fact", R "    - {name: a, when: {spff: pass}, then: accept}\n",
          "f:3:24: error: rule a: unknown fact `spff`; did you mean `spf`?\n" },
        { "unlike any fact", R "    - {name: a, when: {weather: rain}, then: accept}\n",
          "f:3:24: error: rule a: unknown fact `weather`; glacis-policy(5) lists all facts\n" },
        { "unknown fact of few", R "    - {name: a, when: {helo.colour: red}, then: accept}\n",
          "f:3:24: error: rule a: unknown fact `helo.colour`; there are helo.name, helo.kind, helo.resolves, "
          "helo.matches and helo.impersonates\n" },
        { "unknown fact of many", R "    - {name: a, when: {client.colour: red}, then: accept}\n",
          "f:3:24: error: rule a: unknown fact `client.colour`; glacis-policy(5) lists all facts\n" },
        { "nested word", R "    - {name: a, when: {nott: {spf: pass}}, then: accept}\n",
          "f:3:24: error: rule a: unknown fact `nott`; did you mean `not`?\n" },
        { "unknown key without a near one", R "    - {name: a, colour: red, then: accept}\n",
          "f:3:17: error: rule a: unknown key `colour`; there are name, when, then, reply, mode and "
          "enforce_share\n" },
        { "reply by a near fact",
          R "    - {name: a, then: drop, reply: {by: spff, otherwise: \"451 4.7.1 x\"}}\n",
          "f:3:41: error: rule a: reply.by: expected a fact whose values are words, such as spf; did you "
          "mean "
          "`spf`?\n" },
        { "reply for a near word",
          R "    - {name: a, then: drop, reply: {by: spf, passs: \"451 4.7.1 x\", otherwise: \"451 4.7.1 "
            "x\"}}\n",
          "f:3:46: error: rule a: reply: spf is never `passs`: expected otherwise, or one of pass, fail, "
          "softfail, neutral, none, temperror, permerror; did you mean `pass`?\n" },
        { "near name in a text", R "    - {name: a, then: drop, reply: \"451 4.7.1 {client.i} {{\"}\n",
          "f:3:36: error: rule a: {client.i} is no name for texts; write {{ for a brace; did you mean "
          "`client.ip`?\n" },
        { "a field that glacis writes", R "    - {name: a, then: {tag: {X-Glacis-Envelope-To: x}}}\n",
          "f:3:30: error: rule a: tag: the header X-Glacis-Envelope-To has a meaning of its own; take "
          "another "
          "name\n" },
        { "standing group with a slip", "groups: {allow_cliens: [192.0.2.1]}",
          "f:1:10: warning: groups.allow_cliens: no rule uses it; did you mean `allow_clients`?\n" },
        { "unknown list", R "    - {name: a, when: {reputation.zen: true}, then: accept}\n",
          "f:3:24: error: rule a: unknown fact `reputation.zen`: no list of reputation.lists has this "
          "name\n" },
        { "dkim", R "    - {name: a, when: {dkim: pass}, then: accept}\n",
          "f:3:24: error: rule a: dkim is known only in the rules about the message\n" },
        { "dmarc", R "    - {name: a, when: {dmarc.policy: reject}, then: accept}\n",
          "f:3:24: error: rule a: dmarc.policy is known only in the rules about the message\n" },
        { "message fact too early", R "    - {name: a, when: {message.size: 5}, then: accept}\n",
          "f:3:24: error: rule a: message.size is known only in the rules about the message\n" },
        { "recipient too late",
          "policy:\n  message_rules:\n    - {name: a, when: {recipient.local: x}, then: accept}\n",
          "f:3:24: error: rule a: recipient.local cannot be asked about the message, whose rules are asked "
          "once for all recipients\n" },
        { "impossible word", R "    - {name: a, when: {spf: [pass, maybe]}, then: accept}\n",
          "f:3:36: error: rule a: spf: expected one of pass, fail, softfail, neutral, none, temperror, "
          "permerror, "
          "found `maybe`\n" },
        { "flag", R "    - {name: a, when: {sender.null: yes}, then: accept}\n",
          "f:3:37: error: rule a: sender.null: expected true or false, found `yes`\n" },
        { "ip", R "    - {name: a, when: {client.ip: mail.example}, then: accept}\n",
          "f:3:35: error: rule a: client.ip: expected an address or a network such as 192.0.2.0/24, found "
          "`mail.example`\n" },
        { "host bits", R "    - {name: a, when: {client.ip: 192.0.2.1/24}, then: accept}\n",
          "f:3:35: error: rule a: client.ip: expected an address or a network such as 192.0.2.0/24, found "
          "`192.0.2.1/24`; the network is 192.0.2.0/24\n" },
        { "name", R "    - {name: a, when: {client.rdns: \"a b\"}, then: accept}\n",
          "f:3:37: error: rule a: client.rdns: expected a name such as example.com or .example.com, found `a "
          "b`\n" },
        { "address", R "    - {name: a, when: {sender.address: a.example}, then: accept}\n",
          "f:3:40: error: rule a: sender.address: expected a mail address or @example.com, found "
          "`a.example`\n" },
        { "number", R "    - {name: a, when: {recipient.count: \"=> 5\"}, then: accept}\n",
          "f:3:41: error: rule a: recipient.count: expected a number such as 5, or one behind <, <=, >, >=, "
          "or "
          "3..7, found `=> 5`\n" },
        { "never below 0", R "    - {name: a, when: {recipient.count: \"< 0\"}, then: accept}\n",
          "f:3:41: error: rule a: recipient.count: expected a value that it can have: it is never below 0, "
          "found "
          "`< 0`\n" },
        { "duration", R "    - {name: a, when: {client.first_seen: 24}, then: accept}\n",
          "f:3:43: error: rule a: client.first_seen: expected a span of time, such as < 24h, >= 24h or "
          "1h..24h, "
          "found `24`\n" },
        { "expression", R "    - {name: a, when: {sender.local: \"/(/\"}, then: accept}\n",
          "f:3:38: error: rule a: sender.local: not a regular expression: missing closing parenthesis, at "
          "offset 1\n" },
        { "a mapping as a value", R "    - {name: a, when: {spf: {x: y}}, then: accept}\n",
          "f:3:29: error: rule a: spf: expected a value or a list of values, found a mapping\n" },
        { "empty list", R "    - {name: a, when: {spf: []}, then: accept}\n",
          "f:3:29: error: rule a: spf: expected a value, found an empty list\n" },
        { "empty when", R "    - {name: a, when: {}, then: accept}\n",
          "f:3:23: error: rule a: expected a mapping of facts to values, found an empty one\n" },
        { "any of a mapping", R "    - {name: a, when: {any: {spf: pass}}, then: accept}\n",
          "f:3:29: error: rule a: any: expected a list of mappings\n" },
        { "unknown group", R "    - {name: a, when: {client.ip: \"group:x\"}, then: accept}\n",
          "f:3:35: error: rule a: there is no group `x`; there are allow_clients, allow_senders, "
          "forwarders, block_clients and block_senders\n" },
        { "mistyped group", R "    - {name: a, when: {client.ip: \"group:block_client\"}, then: accept}\n",
          "f:3:35: error: rule a: there is no group `block_client`; did you mean `block_clients`?\n" },
        { "empty group",
          "groups: {x: []}\n" R "    - {name: a, when: {client.ip: \"group:x\"}, then: accept}\n",
          "f:4:35: error: rule a: the group `x` is empty\n" },
        { "standing group", R "    - {name: a, when: {client.ip: \"group:forwarders\"}, then: accept}\n",
          "" },
        { "group of words", R "    - {name: a, when: {spf: \"group:forwarders\"}, then: accept}\n",
          "f:3:29: error: rule a: spf: a group holds addresses, names and texts, and this fact is none of "
          "them\n" },
        { "entry fits no use",
          "groups: {x: [192.0.2.1, a@b.example]}\n" R
          "    - {name: a, when: {client.ip: \"group:x\"}, then: accept}\n",
          "f:1:25: error: groups.x: expected an address or a network, found `a@b.example`\n" },
        { "entry of the preset's group", "groups: {allow_clients: [a@b.example]}\n",
          "f:1:26: error: groups.allow_clients: expected an address, a network, or a name such as "
          "example.com or "
          ".example.com, found `a@b.example`\n" },
        { "unused group", "groups: {x: [192.0.2.1]}\n", "f:1:10: warning: groups.x: no rule uses it\n" },
        { "until", "groups: {forwarders: [192.0.2.1 until=tomorrow]}\n",
          "f:1:23: error: groups.forwarders: expected one entry, with nothing or until=2026-12-31 behind it, "
          "found "
          "`192.0.2.1 until=tomorrow`\n" },
        { "no such day", "groups: {forwarders: [192.0.2.1 until=2026-02-29]}\n",
          "f:1:23: error: groups.forwarders: expected one entry, with nothing or until=2026-12-31 behind it, "
          "found "
          "`192.0.2.1 until=2026-02-29`\n" },
        { "no such file", "groups: {forwarders: \"file:/nonexistent/x\"}\n",
          "f:1:22: error: groups.forwarders: /nonexistent/x cannot be read: No such file or directory\n" },
        { "no plain file", "groups: {forwarders: \"file:/dev/zero\"}\n",
          "f:1:22: error: groups.forwarders: /dev/zero cannot be read: not a plain file\n" },
        { "relative file", "groups: {forwarders: \"file:x\"}\n",
          "f:1:22: error: groups.forwarders: expected file: with an absolute path, found `x`\n" },
        { "action", R "    - {name: a, then: refuse}\n",
          "f:3:23: error: rule a: then: expected accept, bypass, reject, defer, drop, greylist, divert, "
          "tarpit, "
          "score or tag, "
          "found `refuse`\n" },
        { "B7: an action with a value that it has not", R "    - {name: a, then: {defer: true}}\n",
          "f:3:24: error: rule a: then: defer has no value: write `then: defer`\n" },
        { "B7: an action without its value", R "    - {name: a, then: tarpit}\n",
          "f:3:23: error: rule a: then: tarpit needs a value: write {tarpit: 5s}\n" },
        { "B7: a tag without its value", R "    - {name: a, then: [tag, accept]}\n",
          "f:3:24: error: rule a: then: tag needs a value: write {tag: {X-Suspect: \"{spf}\"}}\n" },
        { "greylist", R "    - {name: a, when: {spf: none}, then: greylist}\n", "" },
        { "greylist of a message", "policy:\n  message_rules:\n    - {name: a, then: greylist}\n",
          "f:3:23: error: rule a: then: greylist cannot be used in a rule about the message\n" },
        { "a refusal for good",
          R "    - {name: a, when: {spf: none}, then: greylist, reply: \"550 5.7.1 no\"}\n",
          "f:3:59: error: rule a: reply: expected a text such as \"451 4.7.1 why\" (4xx, as the action is "
          "greylist), found `550 5.7.1 no`\n" },
        { "what is remembered",
          "known_good: {days: 9}\nzero_day: {burst: off, fresh: 1h}\ngreylist: {delay: 5}\n"
          "reputation: {guard: {surge: 1x, breaker: {failures: 1}, recover: never}}\n"
          "state: {redis: {url: \"http://x\", timeout: 1m}}\n",
          "f:1:20: error: known_good.days: expected 8 or less, found `9`\n"
          "f:2:24: error: unknown key `fresh` in zero_day; there are fresh_domain, fresh_client, burst and "
          "learn_for\n"
          "f:3:19: error: greylist.delay: expected a duration such as 500ms, 5s, 10m, 2h or 7d, found `5`\n"
          "f:4:29: error: reputation.guard.surge: expected 2x or more, found `1x`\n"
          "f:4:53: error: reputation.guard.breaker.failures: expected 2 or more, found `1`\n"
          "f:4:66: error: reputation.guard.recover: expected auto or manual, found `never`\n"
          "f:5:43: error: state.redis.timeout: expected 5s or less, found `1m`\n" },
        { "a factor", "reputation: {guard: {surge: 5}}\n",
          "f:1:29: error: reputation.guard.surge: expected a factor such as 5x, or off, found `5`\n" },
        { "sections without keys",
          "policy:\nreputation: {guard: }\nknown_good:\nzero_day: {burst: }\ngreylist:\nlimits:\n", "" },
        { "features that are off", "known_good: off\nzero_day: off\nreputation: {guard: off}\n", "" },
        { "parts that are off",
          "zero_day: {burst: off}\nreputation: {guard: {known_good: off, breaker: off, positive: off}}\n",
          "" },
        { "what cannot be off", "greylist: off\n",
          "f:1:11: error: greylist: expected a mapping of delay, retry_within, remember and network, found "
          "`off`\n" },
        { "a masked password", "state: {redis: {url: \"redis://:***@127.0.0.1\"}}\n",
          "f:1:22: error: state.redis.url: expected user and password themselves, not the mask that stands "
          "for "
          "them in a printed configuration\n" },
        { "C7: a masked user", "state: {redis: {url: \"redis://***@127.0.0.1\"}}\n",
          "f:1:22: error: state.redis.url: expected user and password themselves, not the mask that stands "
          "for "
          "them in a printed configuration\n" },
        { "C7: a masked zone", "reputation: {lists: [{name: a, zone: \"zen.***.dq.example\"}]}\n",
          "f:1:38: error: reputation list a: zone: expected the zone itself, not the mask that stands for "
          "its key "
          "in a printed configuration\n" },
        { "C7: a user without a password", "state: {redis: {url: \"redis://secret@127.0.0.1\"}}\n",
          "f:1:22: error: state.redis.url: expected redis://[[user]:password@]address[:port][/database] or "
          "unix:/path; the address is an IP address or localhost\n" },
        { "B7: a Redis by name is never reached", "state: {redis: {url: \"redis://redis.corp.test:6379\"}}\n",
          "f:1:22: error: state.redis.url: expected redis://[[user]:password@]address[:port][/database] or "
          "unix:/path; the address is an IP address or localhost\n" },
        { "final twice", R "    - {name: a, then: [accept, reject]}\n",
          "f:3:32: error: rule a: then: nothing can follow the action that ends the rule\n" },
        { "final first", R "    - {name: a, then: [accept, {score: 1}]}\n",
          "f:3:32: error: rule a: then: nothing can follow the action that ends the rule\n" },
        { "divert", R "    - {name: a, then: {divert: nowhere}}\n",
          "f:3:32: error: rule a: divert: there is no upstream `nowhere`; there are exchange and "
          "quarantine\n" },
        { "tarpit", R "    - {name: a, then: {tarpit: 31s}}\n",
          "f:3:32: error: rule a: tarpit: expected a duration up to 30s, found `31s`\n" },
        { "score", R "    - {name: a, then: {score: high}}\n",
          "f:3:31: error: rule a: score: expected a number from -1000 to 1000 such as 2.5, found `high`\n" },
        { "standard header", R "    - {name: a, then: {tag: {Subject: x}}}\n",
          "f:3:30: error: rule a: tag: the header Subject has a meaning of its own; take another name\n" },
        { "our header", R "    - {name: a, then: {tag: {X-Glacis-Verdict: x}}}\n",
          "f:3:30: error: rule a: tag: the header X-Glacis-Verdict has a meaning of its own; take another "
          "name\n" },
        { "our header of a diverted message", R "    - {name: a, then: {tag: {X-Glacis-Envelope-To: x}}}\n",
          "f:3:30: error: rule a: tag: the header X-Glacis-Envelope-To has a meaning of its own; take "
          "another "
          "name\n" },
        { "no header", R "    - {name: a, then: {tag: {\"X A\": x}}}\n",
          "f:3:30: error: rule a: tag: expected the name of a header such as X-Suspect, found `X A`\n" },
        { "unknown name in a text", R "    - {name: a, then: {tag: {X-A: \"{spff}\"}}}\n",
          "f:3:35: error: rule a: {spff} is no name for texts; write {{ for a brace; did you mean `spf`?\n" },
        { "explanation in a header", R "    - {name: a, then: {tag: {X-A: \"{spf.explanation}\"}}}\n",
          "f:3:35: error: rule a: {spf.explanation} is a stranger's text and never goes into headers\n" },
        { "bypass in message_rules", "policy:\n  message_rules:\n    - {name: a, then: bypass}\n",
          "f:3:23: error: rule a: then: bypass cannot be used in a rule about the message\n" },
        { "reply of another class", R "    - {name: a, then: reject, reply: \"451 4.7.1 x\"}\n",
          "f:3:38: error: rule a: reply: expected a text such as \"550 5.7.1 why\" (5xx, as the action is "
          "reject), "
          "found `451 4.7.1 x`\n" },
        { "codes that differ", R "    - {name: a, then: drop, reply: \"451 5.7.1 x\"}\n",
          "f:3:36: error: rule a: reply: expected a text such as \"451 4.7.1 why\" or \"554 5.7.1 why\", "
          "found `451 "
          "5.7.1 x`\n" },
        { "reply of an acceptance", R "    - {name: a, then: accept, reply: \"451 4.7.1 x\"}\n",
          "f:3:38: error: rule a: reply goes only with reject, defer, drop or greylist\n" },
        { "key of a rule", R "    - {name: a, when: {spf: pass}, than: accept, then: accept}\n",
          "f:3:36: error: rule a: unknown key `than`; did you mean `then`?\n" },
        { "mode", R "    - {name: a, then: accept, mode: watch}\n",
          "f:3:37: error: rule a: mode: expected enforce or monitor, found `watch`\n" },
        { "share", R "    - {name: a, then: accept, enforce_share: 101%}\n",
          "f:3:46: error: rule a: enforce_share: expected a share such as 25%, found `101%`\n" },
        { "override",
          "policy:\n  override:\n    spf-fial: {mode: monitor}\n    spf-fail: {when: {spf: pass}}\n",
          "f:3:5: error: policy.override: the preset has no rule `spf-fial`; did you mean `spf-fail`?\n"
          "f:4:16: error: policy.override: unknown key `when`; did you mean `then`?\n" },
        { "default", "policy: {default: bypass}",
          "f:1:19: error: policy.default: expected accept, reject or defer, found `bypass`\n" },
        { "preset", "policy: {preset: spf_first}",
          "f:1:18: error: policy.preset: expected spf-first or none, found `spf_first`; did you mean "
          "`spf-first`?\n" },
        { "budget", "policy: {budget: {mail: 5m}}",
          "f:1:25: error: policy.budget.mail: expected 4m or less, found `5m`\n" },
    };

    (void)state;
    run_rows(rows, ARRAY_LEN(rows));
}

static void rules_without_effect_are_warned_about(void **state)
{
    static const struct row rows[] = {
        { "below an end",
          R "    - {name: a, then: accept}\n    - {name: b, when: {spf: fail}, then: reject}\n",
          "f:4:7: warning: rule b can never be reached: rule a above it ends every case\n" },
        { "below a monitored one",
          R
          "    - {name: a, then: accept, mode: monitor}\n    - {name: b, when: {spf: fail}, then: reject}\n",
          "" },
        { "below half a ramp",
          R "    - {name: a, then: accept, enforce_share: 50%}\n    - {name: b, when: {spf: fail}, then: "
            "reject}\n",
          "" },
        { "the word is taken",
          R "    - {name: a, when: {spf: [pass, none]}, then: accept}\n"
            "    - {name: b, when: {spf: pass, recipient.local: x}, then: reject}\n",
          "f:4:7: warning: rule b can never be reached: rule a above it ends every case\n" },
        { "by two rules",
          R "    - {name: a, when: {spf: pass}, then: accept}\n    - {name: b, when: {not: {spf: pass}}, "
            "then: reject}\n"
            "    - {name: c, when: {any: [{spf: none}, {spf: fail}]}, then: reject}\n",
          "f:5:7: warning: rule c can never be reached: rule b above it ends every case\n" },
        { "a part is left",
          R "    - {name: a, when: {spf: pass}, then: accept}\n    - {name: b, when: {spf: [pass, fail]}, "
            "then: reject}\n",
          "" },
        { "taken only for some",
          R "    - {name: a, when: {spf: pass, sender.null: true}, then: accept}\n"
            "    - {name: b, when: {spf: pass}, then: reject}\n",
          "" },
        { "a rule behind the preset", "policy:\n  after:\n    - {name: z, when: {spf: pass}, then: reject}\n",
          "f:3:7: warning: rule z can never be reached: rule spf-pass above it ends every case\n" },
        { "no scorer",
          R "    - {name: a, when: {score: \"> 1\"}, then: reject}\n    - {name: b, then: {score: 1}}\n",
          "f:3:24: warning: rule a: score: no rule above it has the action score\n" },
        { "B6: the subject of a certificate that glacis does not request",
          R "    - {name: a, when: {not: {tls.client_subject: /CN=x}}, then: reject}\n",
          "f:3:30: warning: rule a: tls.client_subject: glacis requests a client certificate only with "
          "tls.client_ca, so there is never one\n" },
        { "B6: of one that it requests",
          "tls: {certificate: /c, private_key: /k, client_ca: /ca}\n" R
          "    - {name: a, when: {tls.client_subject: /CN=x}, then: reject}\n",
          "" },
    };

    (void)state;
    run_rows(rows, ARRAY_LEN(rows));
}

static void tests_of_the_file_are_run(void **state)
{
    static const struct row rows[] = {
        { "they hold",
          "reputation: {lists: [{name: zen, zone: zen.example}, {name: dbl, zone: dbl.example}]}\n"
          "policy:\n  tests:\n"
          "    - {name: 1, given: {spf: pass, reputation.lists: [zen]}, expect: {verdict: accept, rule: "
          "spf-pass, score: 3}}\n"
          "    - {name: 2, given: {spf: fail, sender.address: a@b.example}, expect: {verdict: drop, code: "
          "550}}\n"
          "    - {name: 3, given: {spf: fail, sender.null: true, reputation.lists: zen}, expect: {rule: "
          "reputation}}\n"
          "    - {name: 4, given: {spf: none, reputation.lists: []}, expect: {verdict: accept, rule: "
          "default}}\n"
          "    - {name: 5, given: {recipient.address: abuse@c.example, spf: fail}, expect: {rule: "
          "postmaster}}\n"
          "    - {name: 6, given: {}, expect: {verdict: accept}}\n"
          "    - {name: 7, given: {zero_day.reasons: [burst], spf: pass}, expect: {score: 2}}\n",
          "" },
        { "one fails",
          "policy:\n  tests:\n    - {name: a pass, given: {spf: pass}, expect: {verdict: drop, rule: "
          "spf-fail}}\n",
          "f:3:50: error: test a pass failed: the verdict is accept by rule spf-pass, score 0\n" },
        { "with its code",
          "policy:\n  tests:\n    - {name: t, given: {spf: fail, sender.null: false}, expect: {code: 451}}\n",
          "f:3:65: error: test t failed: the verdict is drop by rule spf-fail, code 550, score 0\n" },
        { "a fact that cannot be",
          "policy:\n  tests:\n    - {name: t, given: {spf: maybe}, expect: {code: 451}}\n",
          "f:3:30: error: test t: spf: expected one of pass, fail, softfail, neutral, none, temperror, "
          "permerror, found `maybe`\n" },
        { "words that cannot be",
          "reputation: {lists: [{name: bl, zone: bl.test}]}\npolicy:\n  tests:\n"
          "    - {name: t, given: {helo.kind: fqdm, message.missing: [date, frm]}, expect: {code: 451}}\n"
          "    - {name: u, given: {reputation.lists: b1, client.ip: 192.0.2, sender.null: maybe}, expect: "
          "{code: 451}}\n"
          "    - {name: v, given: {client.rate: many, client.first_seen: 5, spf: {a: b}}, expect: {code: "
          "451}}\n",
          "f:4:36: error: test t: helo.kind: expected one of fqdn, bare, literal, invalid, found `fqdm`; did "
          "you "
          "mean `fqdn`?\n"
          "f:4:59: error: test t: message.missing: expected one of from, date, message-id, sender, reply-to, "
          "to, "
          "cc, subject, mime-version, content-type, found `frm`; did you mean `from`?\n"
          "f:5:43: error: test u: reputation.lists: expected the name of a list of reputation.lists, found "
          "`b1`; "
          "did you mean `bl`?\n"
          "f:5:58: error: test u: client.ip: expected an address such as 192.0.2.1, found `192.0.2`\n"
          "f:5:80: error: test u: sender.null: expected true or false, found `maybe`\n"
          "f:6:38: error: test v: client.rate: expected a number such as 5, found `many`\n"
          "f:6:63: error: test v: client.first_seen: expected a duration such as 24h, found `5`\n"
          "f:6:71: error: test v: spf: expected one of pass, fail, softfail, neutral, none, temperror, "
          "permerror, "
          "found a mapping\n" },
        { "a watched list has it",
          "reputation: {lists: [{name: bl, zone: bl.test, mode: monitor}]}\n"
          "policy:\n  before: [{name: own, when: {reputation.bl: true}, then: reject}]\n  tests:\n"
          "    - {name: t, given: {reputation.monitored: bl}, expect: {verdict: reject, rule: own}}\n",
          "" },
        { "greylisting is a first attempt",
          "policy:\n  before: [{name: grey, when: {spf: none}, then: greylist}]\n  tests:\n"
          "    - {name: t, given: {spf: none}, expect: {verdict: defer, rule: grey, code: 451}}\n",
          "" },
        { "what follows from given facts",
          "reputation: {lists: [{name: bl, zone: bl.test}]}\n"
          "policy:\n  before: [{name: bare, when: {helo.kind: bare}, then: {score: 1}}]\n"
          "  message_rules: [{name: big, when: {message.size: \"> 10\", score: \">= 3\"}, then: reject}]\n"
          "  tests:\n"
          "    - {name: by name, given: {reputation.bl: true, spf: none}, expect: {rule: reputation}}\n"
          "    - {name: not that one, given: {reputation.bl: false, spf: none}, expect: {rule: default}}\n"
          "    - {name: by score, given: {reputation.score: 1, spf: none}, expect: {rule: reputation}}\n"
          "    - {name: below, given: {reputation.score: 0.5, spf: none}, expect: {rule: default}}\n"
          "    - {name: kind, given: {helo.name: localhost}, expect: {score: 2}}\n"
          "    - {name: named, given: {helo.name: a.example}, expect: {score: 0}}\n"
          "    - {name: score, given: {message.size: 11, score: 3}, expect: {rule: big, score: 3}}\n"
          "    - {name: less, given: {message.size: 11, score: 2}, expect: {verdict: accept, score: 2}}\n",
          "" },
        { "an unknown fact", "policy:\n  tests:\n    - {name: t, given: {sfp: pass}, expect: {code: 451}}\n",
          "f:3:25: error: test t: unknown fact `sfp`; did you mean `spf`?\n" },
        { "an unknown rule",
          "policy:\n  tests:\n    - {name: t, given: {spf: pass}, expect: {rule: spf-pas}}\n"
          "    - {name: u, given: {spf: pass}, expect: {verdict: aceppt}}\n",
          "f:3:52: error: test t: expect.rule: there is no rule `spf-pas`; did you mean `spf-pass`?\n"
          "f:4:55: error: test u: expect.verdict: expected accept, bypass, reject, defer, drop or divert, "
          "found "
          "`aceppt`; did you mean `accept`?\n" },
        { "no expectation", "policy:\n  tests:\n    - {name: t, given: {spf: pass}}\n",
          "f:3:7: error: test t: `expect` needs a mapping such as {verdict: accept, rule: spf-pass}\n" },
        { "message rules",
          "policy:\n  message_rules: [{name: big, when: {message.size: \"> 10\"}, then: reject}]\n  tests:\n"
          "    - {name: t, given: {spf: pass, message.size: 11}, expect: {verdict: reject, rule: big, code: "
          "550}}\n"
          "    - {name: u, given: {spf: pass, message.size: 9}, expect: {verdict: accept, rule: spf-pass}}\n",
          "" },
    };

    (void)state;
    run_rows(rows, ARRAY_LEN(rows));
}

/* What loaded, did nothing, and said nothing. */
static void what_can_do_nothing_is_said(void **state)
{
    static const struct row rows[] = {
        { "a zone with http", "reputation: {lists: [{name: a, zone: \"http://zen.example.org\"}]}\n",
          "f:1:38: error: reputation list a: zone: expected a domain such as list.example.org, without "
          "http://: it is "
          "asked over DNS\n" },
        { "a zone with a blank", "reputation: {lists: [{name: a, zone: \"zen example.org\"}]}\n",
          "f:1:38: error: reputation list a: zone: expected a domain such as list.example.org, without "
          "blanks\n" },
        { "a zone with a port", "reputation: {lists: [{name: a, zone: \"zen.example.org:53\"}]}\n",
          "f:1:38: error: reputation list a: zone: expected a domain such as list.example.org, without a "
          "port: the "
          "servers that are asked are those of dns.servers\n" },
        { "a zone with a slash", "reputation: {lists: [{name: a, zone: zen.example.org/}]}\n",
          "f:1:38: error: reputation list a: zone: expected a domain such as list.example.org, without a "
          "slash\n" },
        { "a zone with a star", "reputation: {lists: [{name: a, zone: \"*.zen.example.org\"}]}\n",
          "f:1:38: error: reputation list a: zone: expected a domain such as list.example.org, without `*`: "
          "all names "
          "below it are asked\n" },
        { "a range of addresses", "groups: {allow_clients: [192.0.2.0-192.0.2.9]}\n",
          "f:1:26: error: groups.allow_clients: expected an address, a network, or a name such as "
          "example.com or "
          ".example.com, found `192.0.2.0-192.0.2.9`; a range is written as networks, such as "
          "192.0.2.0/29\n" },
        { "a range in a rule", R "    - {name: a, when: {client.ip: 192.0.2.0-192.0.2.9}, then: accept}\n",
          "f:3:35: error: rule a: client.ip: expected an address or a network such as 192.0.2.0/24, found "
          "`192.0.2.0-192.0.2.9`; a range is written as networks, such as 192.0.2.0/29\n" },
        { "a star for a local part", "groups: {allow_senders: [\"*@x.example\"]}\n",
          "f:1:26: error: groups.allow_senders: expected a mail address, @example.com, or a name such as "
          "example.com or "
          ".example.com, found `*@x.example`; all addresses of a domain are `@x.example`\n" },
        { "a star for a label", "groups: {allow_clients: [\"*.x.example\"]}\n",
          "f:1:26: error: groups.allow_clients: expected an address, a network, or a name such as "
          "example.com or "
          ".example.com, found `*.x.example`; all names below a domain are `.x.example`\n" },
        { "the address of a list", "groups: {allow_clients: [\"https://x.example/list\"]}\n",
          "f:1:26: error: groups.allow_clients: expected an address, a network, or a name such as "
          "example.com or "
          ".example.com, found `https://x.example/list`; nothing is fetched: put the list into a file, and "
          "file:/PATH "
          "here\n" },
        { "an entry that has ended", "groups: {allow_clients: [192.0.2.1 until=2020-01-01]}\n",
          "f:1:26: warning: groups.allow_clients: `192.0.2.1 until=2020-01-01` has ended and counts no "
          "more\n" },
        { "a duration to the millisecond",
          R "    - {name: a, when: {client.first_seen: 24h}, then: accept}\n",
          "f:3:43: error: rule a: client.first_seen: expected a span of time, such as < 24h, >= 24h or "
          "1h..24h, found "
          "`24h`\n" },
        { "pass and not pass", R "    - {name: a, when: {spf: pass, not: {spf: pass}}, then: accept}\n",
          "f:3:41: warning: rule a never matches: its conditions on spf exclude each other\n" },
        { "pass and fail", R "    - {name: a, when: {spf: pass, all: [{spf: [fail, none]}]}, then: accept}\n",
          "f:3:42: warning: rule a never matches: its conditions on spf exclude each other\n" },
        { "true and false",
          R "    - {name: a, when: {all: [{client.private: true}, {client.private: false}]}, then: accept}\n",
          "f:3:55: warning: rule a never matches: its conditions on client.private exclude each other\n" },
        { "each way excluded",
          R "    - {name: a, when: {any: [{spf: pass, not: {spf: pass}}, {helo.name: x.example, not: "
            "{helo.name: "
            "x.example}}]}, then: accept}\n",
          "f:3:90: warning: rule a never matches: its conditions on helo.name exclude each other\n" },
        { "one way open",
          R "    - {name: a, when: {any: [{spf: pass, not: {spf: pass}}, {spf: fail}]}, then: accept}\n",
          "" },
        { "no preset and no rules", "policy: {preset: none}\n",
          "f:1:18: warning: policy.preset is none and there are no rules: nothing is refused by rules\n" },
        { "no preset and a rule", "policy: {preset: none, after: [{name: a, then: accept}]}\n", "" },
        { "nearly greylist", R "    - {name: a, then: grelist}\n",
          "f:3:23: error: rule a: then: expected accept, bypass, reject, defer, drop, greylist, divert, "
          "tarpit, score "
          "or tag, found `grelist`; did you mean `greylist`?\n" },
        { "nearly a score", R "    - {name: a, then: {scor: 1}}\n",
          "f:3:24: error: rule a: then: expected accept, bypass, reject, defer, drop, greylist, divert, "
          "tarpit, score "
          "or tag, found `scor`; did you mean `score`?\n" },
        { "nearly a word", R "    - {name: a, when: {spf: passs}, then: accept}\n",
          "f:3:29: error: rule a: spf: expected one of pass, fail, softfail, neutral, none, temperror, "
          "permerror, found "
          "`passs`; did you mean `pass`?\n" },
    };

    (void)state;
    run_rows(rows, ARRAY_LEN(rows));
}

/* One mistake is one error: what only follows from it is not said. */
static void nothing_follows_from_a_mistake(void **state)
{
    static const struct row rows[] = {
        { "a misspelt group",
          "groups: {mine: [192.0.2.1]}\n"
          "policy: {after: [{name: a, when: {client.ip: group:mien}, then: accept}]}\n",
          "f:2:46: error: rule a: there is no group `mien`; did you mean `mine`?\n" },
        { "a misspelt name of a rule", R "    - {nmae: a, then: accept}\n",
          "f:3:8: error: a rule: unknown key `nmae`; did you mean `name`?\n" },
        { "a misspelt then", R "    - {name: a, thne: accept}\n",
          "f:3:17: error: rule a: unknown key `thne`; did you mean `then`?\n" },
        { "a misspelt name of a list", "reputation: {lists: [{nmae: a, zone: x.example}]}\n",
          "f:1:23: error: unknown key `nmae` in reputation.lists[]; did you mean `name`?\n" },
        { "a misspelt zone", "reputation: {lists: [{name: a, zoen: x.example}]}\n",
          "f:1:32: error: unknown key `zoen` in reputation list a; did you mean `zone`?\n" },
        { "a misspelt expect", "policy: {tests: [{name: a, given: {spf: fail}, expct: {verdict: accept}}]}\n",
          "f:1:48: error: test a: unknown key `expct`; did you mean `expect`?\n" },
    };

    (void)state;
    run_rows(rows, ARRAY_LEN(rows));
}

static void a_group_is_read_from_a_file(void **state)
{
    char path[] = "/tmp/glacis-group-XXXXXX", yaml[300], said[300];
    static const char text[] =
        "# who we trust\n192.0.2.0/24   # a comment\r\n\n.friend.example until=2026-11-02\n"
        "old.example until=2026-11-01\nolder.example until=2026-10-01\n"
        "; Spamhaus DROP List\n1.10.16.0/20 ; SBL256894\n";
    int fd = mkstemp(path);
    struct fixture f;
    struct buf b;
    const struct group *g;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
    close(fd);
    buf_init_fixed(&b, yaml, sizeof(yaml));
    buf_putf(&b, "groups: {allow_clients: [\"file:%s\", 203.0.113.1]}", path);
    fixture_load(&f, yaml);
    unlink(path);
    assert_non_null(f.p);
    assert_int_equal(f.errs.count, 1); /* one warning a group */
    buf_init_fixed(&b, said, sizeof(said));
    buf_putf(&b,
             "groups.allow_clients: `old.example until=2026-11-01` has ended and counts no more; it is in %s",
             path);
    assert_true(f.errs.list[0].warning);
    assert_string_equal(f.errs.list[0].text, said);
    assert_string_equal(policy_group_file(f.p, 0), path);
    assert_null(policy_group_file(f.p, 1));
    g = rules_group(&f.p->rules, SLICE("allow_clients"));
    assert_true(addr_parse_ip(SLICE("192.0.2.77"), &f.ip));
    assert_true(group_has_ip(g, &f.ip, NOON_2026));
    assert_true(addr_parse_ip(SLICE("203.0.113.2"), &f.ip));
    assert_false(group_has_ip(g, &f.ip, NOON_2026));
    assert_true(addr_parse_ip(SLICE("1.10.31.255"), &f.ip)); /* of a DROP file */
    assert_true(group_has_ip(g, &f.ip, NOON_2026));
    assert_true(set_has_name(&g->set, SLICE("MX.Friend.Example"), NOON_2026 / 86400));
    assert_false(set_has_name(&g->set, SLICE("MX.Friend.Example"), NOON_2026 / 86400 + 1));
    assert_false(set_has_name(&g->set, SLICE("old.example"), NOON_2026 / 86400));
    fixture_free(&f);
}

static void what_is_printed_loads_to_the_same(void **state)
{
    static const char yaml[] =
        "policy:\n"
        "  override: {spf-fail: {mode: monitor}, reputation: {enforce_share: 25%}, blocked: {then: defer},\n"
        "             talks-first: {reply: \"421 4.5.1 no\"}, helo-impersonation: {then: accept}}\n"
        "  before:\n"
        "    - {name: p, when: {any: [{spf: none}, {not: {client.rdns: \"\"}}]}, then: [{score: 2.5}, {tag: "
        "{X-A: \"{{ {spf}\"}}]}\n"
        "  message_rules: [{name: m, when: {score: \"> 9\"}, then: reject}]\n"
        "  default: defer\n  reject_at: earliest\n  budget: {mail: 5s}\n  contact: https://mail.example/\n"
        "  tests: [{name: t, given: {spf: pass}, expect: {rule: spf-pass}}]\n";
    struct fixture f, g;
    struct buf first, second;

    (void)state;
    buf_init(&first, 1u << 20);
    buf_init(&second, 1u << 20);
    fixture_load(&f, yaml);
    assert_non_null(f.p);
    config_print(f.conf, policy_put_key, &first);
    fixture_free(&f);
    fixture_load(&g, first.ptr);
    for (size_t i = 0; i < g.errs.count; i++) {
        print_error("%d:%d: %s\n", g.errs.list[i].line, g.errs.list[i].column, g.errs.list[i].text);
    }
    assert_non_null(g.p);
    assert_int_equal(g.errs.count, 0);
    config_print(g.conf, policy_put_key, &second);
    assert_string_equal(first.ptr, second.ptr);
    assert_non_null(strstr(first.ptr, "451 4.7.1 You are blocked"));
    fixture_free(&g);
    buf_fini(&first);
    buf_fini(&second);
}

/* The codes in force, of each text, under an action of another class. */
static void what_is_printed_has_the_codes_in_force(void **state)
{
    static const char *const texts[] = {
        "        none: \"550 5.7.1 {reputation.subject} is listed",
        "        softfail: \"550 5.7.1 {reputation.subject} is listed",
        "        otherwise: \"550 5.7.1 {reputation.subject} is listed",
        "      reply: \"550 5.1.8 The sender",
        "      reply: \"451 4.7.27 The domain",
        "      reply: \"550 5.7.23 {client.ip}",
    };
    struct fixture f;
    struct buf out;

    (void)state;
    buf_init(&out, 1u << 20);
    fixture_load(&f, "policy: {override: {reputation: {then: reject}, sender-unknown: {then: reject},"
                     " sender-null-mx: {then: defer}}}\n");
    assert_non_null(f.p);
    config_print(f.conf, policy_put_key, &out);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (strstr(out.ptr, texts[i]) == NULL) {
            fail_msg("%s\nis not in\n%s", texts[i], out.ptr);
        }
    }
    fixture_free(&f);
    buf_fini(&out);
}

static void the_preset_loads_in_silence(void **state)
{
    struct fixture f;
    static const char *const names[] = {
        "allowed-client",     "blocked",          "postmaster",         "talks-first",    "not-smtp",
        "helo-impersonation", "helo-odd",         "sender-null-mx",     "sender-unknown", "zero-day",
        "zero-day-score",     "allowed-sender",   "vouched-but-listed", "spf-pass",       "forwarder",
        "spf-fail",           "reputation-known", "reputation",
    };

    (void)state;
    fixture_load(&f, "{}");
    assert_non_null(f.p);
    assert_int_equal(f.errs.count, 0);
    assert_int_equal(f.p->rules.block[BLOCK_ENVELOPE].count, ARRAY_LEN(names));
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_string_equal(f.p->rules.block[BLOCK_ENVELOPE].rule[i].name, names[i]);
    }
    assert_int_equal(f.p->rules.use[FACT_ID_SPF] & USE_FINAL, USE_FINAL);
    assert_int_equal(f.p->rules.use[FACT_ID_HELO_RESOLVES] & (USE_RULE | USE_FINAL), USE_RULE);
    assert_int_equal(f.p->rules.use[FACT_ID_SPF_EXPLANATION], USE_TEXT);
    assert_int_equal(f.p->rules.use[FACT_ID_CLIENT_DYNAMIC], 0);
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mistakes_are_named_with_their_place),
        { "B7: what can do nothing is said", what_can_do_nothing_is_said, NULL, NULL, NULL },
        { "B7: nothing follows from a mistake", nothing_follows_from_a_mistake, NULL, NULL, NULL },
        cmocka_unit_test(rules_without_effect_are_warned_about),
        cmocka_unit_test(tests_of_the_file_are_run),
        { "B7: a group is read from a file, a DROP list too", a_group_is_read_from_a_file, NULL, NULL, NULL },
        cmocka_unit_test(what_is_printed_loads_to_the_same),
        { .name = "B4: what is printed has the codes in force",
          .test_func = what_is_printed_has_the_codes_in_force },
        cmocka_unit_test(the_preset_loads_in_silence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
