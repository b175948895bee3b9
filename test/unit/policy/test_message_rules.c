/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_message_rules.c - the message block: the preset's rules about a message, override.unless, what check warns of, and
 * rules that watch because they are new (policy.watch_new_rules).
 */
#include "rules_fixture.h"

/* A message that nothing can be said against. */
#define PLAIN                                                                                                \
    "message.from_count=1; message.from_domains=peer.example; message.author_domains=1;"                     \
    "message.from_domain=peer.example; message.from_local=a; message.from_ours=false;"                       \
    "message.name_address=; message.name_ours=false; message.is_list=false; message.missing=sender;"         \
    "message.duplicate=; message.bulk=false; message.received=1; message.id=x@peer.example;"                 \
    "dkim=none; dkim.domains=; dmarc=none; dmarc.policy=none; dmarc.domain=peer.example; dmarc.by=;"         \
    "message.from_aligned=false; message.signed_by_author=none; message.via_list=false;"                     \
    "client.known_good=false;"
#define FAILS PLAIN "dmarc=fail; dmarc.policy=reject;"
#define OURS PLAIN "message.from_ours=true; message.from_domain=home.test; message.from_domains=home.test;"
#define GROUPS "groups: {forwarders: [192.0.2.1, f.example], allow_clients: [a.example]}\n"

/* "reject NAME 550 5.6.0 | score 4 | names of the rules that matched and end nothing". */
static const char *judged(struct fixture *f, const char *facts, struct buf *out)
{
    struct fact_value score = { .state = FACT_KNOWN };
    char mem[200];

    fixture_ordinary(f);
    fixture_facts(f, facts);
    fixture_ask(f, BLOCK_MESSAGE, STAGE_MESSAGE);
    buf_reset(out);
    buf_put_str(out, fixture_outcome(f, mem));
    score.u.number = (uint64_t)f->result.score;
    buf_put_str(out, " | ");
    fact_put(out, FACT_ID_SCORE, &score);
    buf_put_str(out, " |");
    for (size_t i = 0; i < f->p->rules.block[BLOCK_MESSAGE].count; i++) {
        const struct rule *rule = &f->p->rules.block[BLOCK_MESSAGE].rule[i];

        if (f->trace[i].outcome == RULE_MONITORED ||
            (f->trace[i].outcome == RULE_MATCHED && rule->final == ACTION_NONE)) {
            buf_putf(out, " %s%s", rule->name, f->trace[i].outcome == RULE_MONITORED ? "(watches)" : "");
        }
    }
    return out->ptr;
}

struct row {
    const char *label, *yaml, *facts, *want;
};

static void run_rows(const struct row *rows, size_t count)
{
    size_t failed = 0;

    for (size_t i = 0; i < count; i++) {
        struct fixture f;
        struct buf out;

        fixture_load(&f, rows[i].yaml);
        assert_non_null(f.p);
        buf_init(&out, 10000);
        if (strcmp(judged(&f, rows[i].facts, &out), rows[i].want) != 0) {
            print_error("%s: want %s\n  got %s\n", rows[i].label, rows[i].want, out.ptr);
            failed++;
        }
        buf_fini(&out);
        fixture_free(&f);
    }
    assert_int_equal(failed, 0);
}

static void the_preset_judges_messages(void **state)
{
    static const struct row rows[] = {
        { "plain", "{}", PLAIN, "accept default | 0 |" },

        { "two From fields of two domains", "{}", PLAIN "message.from_count=2; message.author_domains=2",
          "reject from-several 550 5.6.0 | 0 |" },
        { "two of one domain", "{}", PLAIN "message.from_count=2; message.duplicate=from",
          "accept default | 1 | headers-odd" },
        { "two domains in one field", "{}", PLAIN "message.author_domains=2",
          "accept default | 3 | from-unclear" },
        { "how many is unknown", "{}", PLAIN "message.from_count=2; message.author_domains=?",
          "accept default | 0 |" },

        { "DMARC says reject", "{}", FAILS, "reject dmarc-reject 550 5.7.1 | 0 |" },
        { "a list in good standing", "{}", FAILS "message.via_list=true; client.known_good=true",
          "accept default | 4 | dmarc-fail" },
        { "a list of a stranger", "{}", FAILS "message.via_list=true",
          "reject dmarc-reject 550 5.7.1 | 0 |" },
        { "a header of a list alone", "{}", FAILS "message.is_list=true; client.known_good=true",
          "reject dmarc-reject 550 5.7.1 | 0 |" },
        { "standing alone", "{}", FAILS "client.known_good=true", "reject dmarc-reject 550 5.7.1 | 0 |" },
        { "a forwarder by address", GROUPS, FAILS, "accept default | 4 | dmarc-fail" },
        { "a forwarder by its verified name", GROUPS, FAILS "client.ip=192.0.2.9; client.rdns=f.example",
          "accept default | 4 | dmarc-fail" },
        { "no verified name", GROUPS,
          FAILS "client.ip=192.0.2.9; client.rdns=", "reject dmarc-reject 550 5.7.1 | 0 |" },
        { "its name could not be asked for", GROUPS,
          FAILS "client.ip=192.0.2.9; client.iprev=temperror; client.rdns=?",
          "defer dmarc-reject 451 4.7.1 | 0 |" },
        { "no names are in the groups", "{}", FAILS "client.iprev=temperror; client.rdns=?",
          "reject dmarc-reject 550 5.7.1 | 0 |" },
        { "whether it is a list is unknown", "{}", FAILS "message.via_list=?; client.known_good=true",
          "accept default | 4 | dmarc-fail" },
        { "a stranger, and whether it is a list is unknown", "{}", FAILS "message.via_list=?",
          "reject dmarc-reject 550 5.7.1 | 0 |" },
        { "DMARC could not be asked", "{}", FAILS "dmarc=temperror", "accept default | 0 |" },
        { "its policy is unknown", "{}", FAILS "dmarc.policy=?", "accept default | 0 |" },
        { "quarantine", "{}", FAILS "dmarc.policy=quarantine", "accept default | 4 | dmarc-fail" },
        { "no policy", "{}", FAILS "dmarc.policy=none", "accept default | 0 |" },

        { "our name from a stranger", "{}", OURS, "accept default | 5 | own-domain-forged" },
        { "our name, aligned", "{}", OURS "message.from_aligned=true", "accept default | 0 |" },
        { "our name, through our list", "{}", OURS "message.via_list=true; client.known_good=true",
          "accept default | 0 |" },
        { "our name, from a good sender", "{}", OURS "client.known_good=true",
          "accept default | 5 | own-domain-forged" },
        { "our name, through a forwarder", GROUPS, OURS, "accept default | 0 |" },
        { "our name, from an allowed client", GROUPS, OURS "client.ip=192.0.2.9; client.rdns=a.example",
          "accept default | 0 |" },
        { "our name, and that of the client could not be asked for", GROUPS,
          OURS "client.ip=192.0.2.9; client.iprev=temperror; client.rdns=?",
          "accept default | 5 | own-domain-forged" },
        { "our name, alignment unknown", "{}", OURS "message.from_aligned=?", "accept default | 0 |" },

        { "no From", "{}", PLAIN "message.from_count=0; message.from_domains=; message.author_domains=0",
          "accept default | 3 | from-unclear" },
        { "an author that cannot be read", "{}",
          PLAIN "message.from_domains=", "accept default | 3 | from-unclear" },
        { "our address for a name", "{}", PLAIN "message.name_address=home.test; message.name_ours=true",
          "accept default | 3 | from-unclear" },
        { "another address for a name", "{}", PLAIN "message.name_address=x.test", "accept default | 0 |" },
        { "an unknown header section", "{}", "dmarc=none; client.known_good=false", "accept default | 0 |" },

        { "no date", "{}", PLAIN "message.missing=date,cc", "accept default | 1 | headers-odd" },
        { "two subjects", "{}", PLAIN "message.duplicate=cc,subject", "accept default | 1 | headers-odd" },
        { "two copies fields", "{}", PLAIN "message.duplicate=cc,sender", "accept default | 0 |" },
    };

    (void)state;
    run_rows(rows, ARRAY_LEN(rows));
}

static void files_change_the_block(void **state)
{
    static const struct row rows[] = {
        { "before", "policy: {message_before: [{name: a, when: {message.bulk: false}, then: accept}]}\n",
          FAILS, "accept a | 0 |" },
        { "after", "policy: {message_after: [{name: z, when: {score: \">= 4\"}, then: reject}]}\n",
          FAILS "dmarc.policy=quarantine", "reject z 550 5.7.1 | 4 | dmarc-fail" },
        { "instead", "policy: {message_rules: [{name: a, when: {dmarc: fail}, then: {score: 1}}]}\n", FAILS,
          "accept default | 1 | a" },
        { "none", "policy: {preset: none, before: [{name: b, when: {spf: pass}, then: accept}]}\n", FAILS,
          "accept default | 0 |" },
        { "the envelope's alone", "policy: {rules: [{name: b, when: {spf: pass}, then: accept}]}\n", FAILS,
          "reject dmarc-reject 550 5.7.1 | 0 |" },
        { "unless", "policy: {override: {dmarc-reject: {unless: {spf: none}}}}\n", FAILS,
          "accept default | 4 | dmarc-fail" },
        { "unless something else", "policy: {override: {dmarc-reject: {unless: {spf: pass}}}}\n", FAILS,
          "reject dmarc-reject 550 5.7.1 | 0 |" },
        { "unless it is unknown", "policy: {override: {dmarc-reject: {unless: {spf.weak: true}}}}\n",
          FAILS "spf.weak=?", "accept default | 4 | dmarc-fail" },
        { "another action", "policy: {override: {own-domain-forged: {then: reject}}}\n", OURS,
          "reject own-domain-forged 550 5.7.1 | 0 |" },
        { "by domains and words",
          "policy: {message_rules: [{name: a, when: {message.from_domains: \xc3\xa4.test, message.duplicate: "
          "[to, cc], dkim.domains: [b.test, peer.example]}, then: {score: 1}}]}\n",
          PLAIN "message.from_domains=x.test,xn--4ca.test; message.duplicate=cc; dkim.domains=peer.example",
          "accept default | 1 | a" },
    };

    (void)state;
    run_rows(rows, ARRAY_LEN(rows));
}

/* spf-fail waits for DMARC: the key that the manual shows. */
static void an_spf_fail_may_wait_for_dmarc(void **state)
{
    static const struct {
        const char *dmarc, *want;
    } rows[] = {
        { "sender.dmarc=reject", "accept default" },
        { "sender.dmarc=quarantine", "accept default" },
        { "sender.dmarc=none", "drop spf-fail 550 5.7.23" },
        { "sender.dmarc=temperror", "drop spf-fail 451 4.7.23" },
    };
    struct fixture f;
    char mem[200];

    (void)state;
    fixture_load(&f, "policy: {override: {spf-fail: {unless: {sender.dmarc: [quarantine, reject]}}}}\n");
    assert_non_null(f.p);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        fixture_ordinary(&f);
        fixture_facts(&f, "spf=fail; client.known_good=false; zero_day.suspect=false");
        fixture_facts(&f, rows[i].dmarc);
        fixture_ask(&f, BLOCK_ENVELOPE, STAGE_RCPT);
        assert_string_equal(fixture_outcome(&f, mem), rows[i].want);
    }
    fixture_free(&f);
}

/* ---- what check says ---- */

static void mistakes_are_named(void **state)
{
    static const char *const rows[][2] = {
        { "policy: {override: {dmarc-rejct: {mode: monitor}}}\n",
          "error: policy.override: the preset has no rule `dmarc-rejct`; did you mean `dmarc-reject`?\n" },
        { "policy: {override: {spf-fail: {unless: {dmarc: fail}}}}\n",
          "error: rule spf-fail: dmarc is known only in the rules about the message\n" },
        { "policy: {override: {spf-fail: {unless: {}}}}\n",
          "error: rule spf-fail: expected a mapping of facts to values, found an empty one\n" },
        { "policy: {rules: [{name: a, when: {spf: pass}, then: accept}], override: {spf-fail: {mode: "
          "monitor}}}\n",
          "warning: policy.override.spf-fail has no effect: policy.rules replaces rules of the preset, and "
          "the "
          "others have no such rule\n" },
        { "policy: {rules: [{name: a, when: {spf: pass}, then: accept}], override: {dmarc-fail: {mode: "
          "monitor}}}\n",
          "" },
        { "policy: {message_rules: []}\n",
          "warning: policy.message_rules is empty: nothing is refused by rules about the message\n" },
        { "policy: {message_rules: [{name: a, when: {dkim: pass}, then: accept}], message_after: [{name: b, "
          "then: accept}]}\n",
          "warning: policy.message_after has no effect: policy.message_rules replaces it\n" },
        { "policy: {message_after: [{name: dmarc-fail, then: accept}]}\n",
          "error: rule dmarc-fail: the preset has a rule of this name; `override` changes it\n" },
        { "policy: {message_before: [{name: a, when: {message.missing: bcc}, then: {score: 1}}]}\n",
          "error: rule a: message.missing: expected one of from, date, message-id, sender, reply-to, to, cc, "
          "subject, mime-version, content-type, found `bcc`; did you mean `cc`?\n" },
        { "policy: {message_before: [{name: a, when: {dmarc.by: arc}, then: {score: 1}}]}\n",
          "error: rule a: dmarc.by: expected one of spf, dkim, found `arc`\n" },
        { "policy: {message_before: [{name: a, when: {message.from_domains: .x.test}, then: {score: 1}}]}\n",
          "error: rule a: message.from_domains: expected a domain such as example.com, found `.x.test`\n" },
        /* exemptions that the sender writes */
        { "policy: {message_before: [{name: a, when: {dmarc: fail, message.is_list: false}, then: "
          "reject}]}\n",
          "warning: rule a: message.is_list alone exempts a message, and the sender writes it: any forger "
          "can; "
          "message.via_list with client.known_good cannot be written\n" },
        { "policy: {message_before: [{name: a, when: {dmarc: fail, not: {any: [{message.is_list: true}, "
          "{spf: pass}]}}, then: reject}]}\n",
          "warning: rule a: message.is_list alone exempts a message, and the sender writes it: any forger "
          "can; "
          "message.via_list with client.known_good cannot be written\n" },
        { "policy: {override: {dmarc-reject: {unless: {message.is_list: true}}}}\n",
          "warning: rule dmarc-reject: message.is_list alone exempts a message, and the sender writes it: "
          "any "
          "forger can; message.via_list with client.known_good cannot be written\n" },
        { "policy: {message_before: [{name: a, when: {message.bulk: true}, then: accept}]}\n",
          "warning: rule a: message.bulk alone exempts a message, and the sender writes it: any forger can; "
          "message.via_list with client.known_good cannot be written\n" },
        { "policy: {message_before: [{name: a, when: {dmarc: fail, not: {message.is_list: true, "
          "client.known_good: true}}, then: reject}]}\n",
          "" },
        { "policy: {message_before: [{name: a, when: {message.is_list: true, dkim: fail}, then: reject}]}\n",
          "" },
        { "policy: {message_before: [{name: a, when: {message.is_list: false}, then: {score: 1}}]}\n", "" },
        /* scores */
        { "headers: {verdict: false}\n", "warning: rule headers-odd gives a score that nothing reads: "
                                         "headers.verdict is off, and no rule below it "
                                         "and no text names score\n" },
        { "headers: {verdict: false}\npolicy: {message_after: [{name: z, when: {score: \">= 5\"}, then: "
          "reject}]}\n",
          "" },
        { "headers: {verdict: false}\npolicy: {message_after: [{name: z, then: {tag: {X-Sum: "
          "\"{score}\"}}}]}\n",
          "" },
        /* lists */
        { "reputation: {lists: [{name: d, zone: d.test, looks_up: [sender, from]}]}\n",
          "warning: reputation.lists d: from and dkim of looks_up are never asked: no rule about the message "
          "(policy.message_before) names reputation\n" },
        { "reputation: {lists: [{name: d, zone: d.test, looks_up: dkim}]}\npolicy: {message_after: [{name: "
          "z, "
          "when: {reputation.d: true}, then: {score: 1}}]}\n",
          "" },
    };
    size_t failed = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture f;
        struct buf said;
        const char *text;

        fixture_load(&f, rows[i][0]);
        buf_init(&said, 1u << 16);
        config_errors_print(&f.errs, "f", &said);
        text = said.len > 0 ? strchr(said.ptr, ' ') + 1 : ""; /* behind the place */
        if (strcmp(text, rows[i][1]) != 0) {
            print_error("%s said\n%s\n", rows[i][0], text);
            failed++;
        }
        buf_fini(&said);
        fixture_free(&f);
    }
    assert_int_equal(failed, 0);
}

static void what_is_printed_judges_the_same(void **state)
{
    static const char yaml[] =
        "policy: {override: {dmarc-reject: {unless: {spf: [pass, none], client.private: true}}, "
        "from-unclear: {mode: monitor}}, message_before: [{name: b, when: {dkim: pass}, "
        "then: {score: 1}}]}\n";
    static const char *const facts[] = { PLAIN, FAILS, FAILS "client.private=true", FAILS "dkim=pass",
                                         PLAIN "message.author_domains=2" };
    struct fixture a, b;
    struct buf printed, one, two;

    (void)state;
    fixture_load(&a, yaml);
    assert_non_null(a.p);
    buf_init(&printed, 1u << 20);
    buf_init(&one, 10000);
    buf_init(&two, 10000);
    config_print(a.conf, policy_put_key, &printed);
    fixture_load(&b, printed.ptr);
    assert_non_null(b.p);
    for (size_t i = 0; i < ARRAY_LEN(facts); i++) {
        assert_string_equal(judged(&a, facts[i], &one), judged(&b, facts[i], &two));
    }
    fixture_free(&a);
    fixture_free(&b);
    buf_fini(&printed);
    buf_fini(&one);
    buf_fini(&two);
}

/* ---- rules that watch ---- */

#define SEVERAL PLAIN "message.from_count=2; message.author_domains=2"
#define DAY 86400

/* The rules that watch and until when after NOON_2026, in hours; then what stays to be written. */
static const char *watched(const struct fixture *f, int64_t now_s, struct buf *out)
{
    struct policy_watched w;
    struct buf record;

    buf_reset(out);
    buf_put_str(out, "");
    for (size_t i = 0; policy_watched(f->p, i, now_s, &w); i++) {
        buf_putf(out, "%s%s %lld", i > 0 ? ", " : "", w.rule, (long long)(w.until_s - NOON_2026) / 3600);
    }
    buf_init(&record, 1u << 16);
    policy_watch_put(f->p, &record);
    buf_put_str(out, record.len > 0 ? " +" : "");
    buf_fini(&record);
    return out->len > 0 ? out->ptr : "";
}

static void new_rules_watch_first(void **state)
{
    struct fixture f;
    struct buf out, record;

    (void)state;
    buf_init(&out, 10000);
    buf_init(&record, 1u << 16);
    fixture_load(&f, "{}");
    policy_watch(f.p, SLICE_NONE, NOON_2026);
    assert_string_equal(watched(&f, NOON_2026, &out), "from-several 168, dmarc-reject 168 +");
    assert_string_equal(judged(&f, SEVERAL, &out), "accept default | 3 | from-several(watches) from-unclear");
    policy_watch_put(f.p, &record);
    fixture_free(&f);

    /* a restart, and a start of another process, keep the date */
    fixture_load(&f, "{}");
    policy_watch(f.p, buf_slice(&record), NOON_2026 + 3 * DAY);
    assert_string_equal(watched(&f, NOON_2026, &out), "from-several 168, dmarc-reject 168");
    assert_string_equal(watched(&f, NOON_2026 + 7 * DAY, &out), "");
    fixture_free(&f);

    /* then the rule acts, without a reload */
    fixture_load(&f, "{}");
    policy_watch(f.p, buf_slice(&record), NOON_2026 - 1);
    f.p->rules.block[BLOCK_MESSAGE].rule[0].watch_until_s = NOON_2026;
    assert_string_equal(judged(&f, SEVERAL, &out), "reject from-several 550 5.6.0 | 0 |");
    fixture_free(&f);

    fixture_load(&f, "policy: {watch_new_rules: 0}\n");
    policy_watch(f.p, SLICE_NONE, NOON_2026);
    assert_string_equal(watched(&f, NOON_2026, &out), " +"); /* noted all the same */
    assert_string_equal(judged(&f, SEVERAL, &out), "reject from-several 550 5.6.0 | 0 |");
    fixture_free(&f);
    buf_fini(&out);
    buf_fini(&record);
}

/* What the operator has written into the file is in force. */
static void what_the_file_says_does_not_watch(void **state)
{
    static const char *const rows[][2] = {
        { "policy: {override: {from-several: {mode: enforce}}}\n", "dmarc-reject 168 +" },
        { "policy: {override: {from-several: {then: defer}}}\n", "dmarc-reject 168 +" },
        { "policy: {override: {own-domain-forged: {then: reject}}}\n",
          "from-several 168, dmarc-reject 168 +" },
        { "policy: {override: {dmarc-reject: {unless: {spf: pass}}}}\n",
          "from-several 168, dmarc-reject 168 +" },
        { "policy: {watch_new_rules: 2h}\n", "from-several 2, dmarc-reject 2 +" },
        { "policy: {message_before: [{name: a, when: {dkim: fail}, then: reject}]}\n",
          "from-several 168, dmarc-reject 168 +" },
        { "policy: {message_rules: [{name: a, when: {dkim: fail}, then: reject}]}\n", " +" },
        { "policy: {preset: none, before: [{name: a, when: {spf: fail}, then: reject}]}\n", "" },
    };
    struct buf out;

    (void)state;
    buf_init(&out, 10000);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture f;

        fixture_load(&f, rows[i][0]);
        assert_non_null(f.p);
        policy_watch(f.p, SLICE_NONE, NOON_2026);
        assert_string_equal(watched(&f, NOON_2026, &out), rows[i][1]);
        fixture_free(&f);
    }
    buf_fini(&out);
}

/* An unprivileged user may have written the record. */
static void a_record_is_not_trusted(void **state)
{
    static const char *const lines[] = {
        "",
        "\n\n \n",
        "from-several",
        "from-several 0123456789abcdef",
        "from-several 0123456789abcdef -5",
        "from-several 0123456789abcde 5",
        "from-several 0123456789ABCDEF 5",
        "from-several 0123456789abcdef 99999999999999999999999",
        "from-several 0123456789abcdef 5 6",
        "From-Several 0123456789abcdef 5",
        "../x 0123456789abcdef 5",
        "from-several 0123456789abcdef 5", /* a rule of another text */
    };
    struct buf out, text;
    struct fixture f;

    (void)state;
    buf_init(&out, 10000);
    buf_init(&text, 1u << 20);
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        fixture_load(&f, "policy: {rules: [{name: a, when: {spf: pass}, then: accept}]}\n");
        policy_watch(f.p, slice_str(lines[i]), NOON_2026);
        assert_string_equal(watched(&f, NOON_2026, &out), "from-several 168, dmarc-reject 168 +");
        fixture_free(&f);
    }
    for (size_t i = 0; i < 5000; i++) { /* more than are kept */
        buf_putf(&text, "r%zu 0123456789abcdef 5\n", i);
    }
    fixture_load(&f, "{}");
    policy_watch(f.p, buf_slice(&text), NOON_2026);
    buf_reset(&text);
    policy_watch_put(f.p, &text);
    assert_in_range(text.len, 1, 500 * 100);
    fixture_free(&f);
    buf_fini(&out);
    buf_fini(&text);
}

/* A clock that was wrong at the first start must not make the watch last for years. */
static void a_first_start_in_the_future_is_mended(void **state)
{
    struct fixture f;
    struct buf out, record;

    (void)state;
    buf_init(&out, 10000);
    buf_init(&record, 1u << 16);
    fixture_load(&f, "{}");
    policy_watch(f.p, SLICE_NONE, NOON_2026 + 1000 * DAY);
    policy_watch_put(f.p, &record);
    fixture_free(&f);
    fixture_load(&f, "{}");
    policy_watch(f.p, buf_slice(&record), NOON_2026);
    assert_string_equal(watched(&f, NOON_2026, &out), "from-several 168, dmarc-reject 168 +");
    fixture_free(&f);
    buf_fini(&out);
    buf_fini(&record);
}

/* policy.tests are about the rules, not about the day. */
static void tests_count_rules_as_enforced(void **state)
{
    struct fixture f;

    (void)state;
    fixture_load(
        &f,
        "policy: {tests: [{name: t, given: {message.from_count: 2, message.from_domains: [a.test, b.test]}, "
        "expect: "
        "{verdict: reject, rule: from-several, code: 550}}, {name: u, given: {message.from_domain: "
        "home.test, "
        "message.from_aligned: false, message.via_list: false, client.ip: 192.0.2.1, client.rdns: x.test}, "
        "expect: {verdict: accept, score: 5}}, {name: d, given: {dmarc: fail, dmarc.policy: reject, "
        "message.via_list: false, client.ip: 192.0.2.1, client.rdns: x.test}, expect: {rule: "
        "dmarc-reject}}]}\n");
    assert_int_equal(f.errs.count, 0);
    assert_non_null(f.p);
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_preset_judges_messages),
        cmocka_unit_test(files_change_the_block),
        cmocka_unit_test(an_spf_fail_may_wait_for_dmarc),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(what_is_printed_judges_the_same),
        cmocka_unit_test(new_rules_watch_first),
        cmocka_unit_test(what_the_file_says_does_not_watch),
        cmocka_unit_test(a_record_is_not_trusted),
        cmocka_unit_test(a_first_start_in_the_future_is_mended),
        cmocka_unit_test(tests_count_rules_as_enforced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
