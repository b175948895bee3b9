# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# environment.sh - what the person or the service that runs the tests has set must not matter to them; sourced by test/run
# and lib.sh, and client.py does the same.
unset GLACIS_HOSTNAME GLACIS_UPSTREAM GLACIS_DOMAINS GLACIS_ADMIN_TOKEN
unset NOTIFY_SOCKET WATCHDOG_USEC WATCHDOG_PID LISTEN_FDS LISTEN_PID LISTEN_FDNAMES JOURNAL_STREAM CREDENTIALS_DIRECTORY
unset MAIL_CONFIG TZ
LC_ALL=C.UTF-8
no_proxy=127.0.0.1,localhost # a proxy for HTTP is asked for packages, never for what a test serves
NO_PROXY=$no_proxy
export LC_ALL no_proxy NO_PROXY
umask 022
