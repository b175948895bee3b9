/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard_settings.h - reputation.guard with its defaults.
 */
#ifndef TEST_POLICY_GUARD_SETTINGS_H
#define TEST_POLICY_GUARD_SETTINGS_H

#include "policy/lists/guard.h"

static const struct config_guard settings = {
    .good_clients = 5,
    .good_share_percent = 2,
    .good_within_s = 3600,
    .probe_interval_s = 300,
    .positive_percent = 90,
    .min_asked = 50,
    .surge = 5,
    .breaker_failures = 20,
    .breaker_retry_s = 30,
};

#endif
