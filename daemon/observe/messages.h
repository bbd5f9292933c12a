#pragma once

/* The names that other tools may rely on: message ids and journal fields. An id never changes its meaning. */

#define FIELD_CERTIFICATE "REKEYD_CERTIFICATE"
#define FIELD_FINGERPRINT "REKEYD_FINGERPRINT"
#define FIELD_NOT_AFTER   "REKEYD_NOT_AFTER"
#define FIELD_STATE       "REKEYD_STATE"
#define FIELD_STEP        "REKEYD_STEP"
#define FIELD_FAILURE     "REKEYD_FAILURE"
#define FIELD_CAUSE       "REKEYD_CAUSE"
#define FIELD_ATTEMPT     "REKEYD_ATTEMPT"
#define FIELD_REQUEST_ID  "REKEYD_REQUEST_ID"
#define FIELD_ERROR       "REKEYD_ERROR"
#define FIELD_GENERATION  "REKEYD_GENERATION"
#define FIELD_DEPENDENT   "REKEYD_DEPENDENT"
#define FIELD_EXPORT      "REKEYD_EXPORT"
#define FIELD_OPERATION   "REKEYD_OPERATION" /* the operator's request that ends with this line */

#define FIELD_DELIVERY "REKEYD_DELIVERY" /* "pending": an event says when it has ended */

#define MESSAGE_STARTED "f5a350c2dca549c1bb2bd0d28e9bb899"
#define MESSAGE_STOPPED "8c9df623b66c47c4b1dbf87287f8392d"
#define MESSAGE_CURRENT \
        "0a1fcfe379664508aa35fb18adcb084a" /* a set is current; says when it will be renewed */
#define MESSAGE_RENEWED  "f0f2ec2e6b344c87a5a07c6aaa884943" /* a new set became current */
#define MESSAGE_ENROLLED "1ddb3962c4e34c96a943c78915f4ec2d" /* the first set, by a token */
#define MESSAGE_ADOPTED  "6266ff9ecaa54b8cafffac8b75aca7a2" /* an existing pair became generation 0 */

/* An attempt failed, by class (lib/life/failure.h), which REKEYD_FAILURE names as well. All but the first are
 * worth an alarm at once. */
#define MESSAGE_FAILED_TRANSIENT "1b28a3959a2b468ea8c6b7f245ff3574" /* it may pass by itself */
#define MESSAGE_FAILED_REFUSED   "5a9a870c2fa24be6920438f30e07fb69" /* the Connector says no */
#define MESSAGE_FAILED_REJECTED \
        "058de4002f9545579f5a64d8925119a6" /* certificate or token is not accepted: a new token is needed */
#define MESSAGE_FAILED_BAD_REPLY \
        "40bf6420d531412cb5b6768c0b3b9e56" /* what came back was discarded, the old set is kept */
#define MESSAGE_FAILED_LOCAL \
        "bbae2ed26e72431dad4dff3790233341" /* disk, permissions or clock of this machine */

#define MESSAGE_WAITING      "16dd654bdd0c49288614c38cd191a91d" /* a one-time token is needed */
#define MESSAGE_BEGUN        "f462d6ad3a954d05b6f5389010b09a79" /* an attempt to enrol or renew begins */
#define MESSAGE_NOTIFIED     "c7e8d06debc24529ba44660cec1209a0" /* a dependent was notified of a set */
#define MESSAGE_NOT_NOTIFIED "156a0ccc8fef4fd59c54b933639cb940" /* a dependent did not */
#define MESSAGE_WARNING      "2643cfc8096442f4bba6a6dc899b8667" /* a warning about files or options */
#define MESSAGE_CLOCK        "38e0e27216ec411f8255aef7c87618f3" /* the wall clock was set */
#define MESSAGE_READY        "27cd06e492da408880a48d7c332466e4" /* every certificate has been inspected */
#define MESSAGE_RIGHTS       "13bbc9921cfb4d408503fd1b959a8ef3" /* owner, group or mode of files were put right */
#define MESSAGE_NO_RIGHTS    "15663b4987c14f45877c50a612a5c8c3" /* and could not be */
#define MESSAGE_HISTORY                                                                                     \
        "d59622489a3f45719a76e87596ec021f"                  /* a state file was lost, or could not be saved \
                                                             */
#define MESSAGE_BUDGET   "677a7be3db6d4033a89846d17609186c" /* no more signatures within this hour */
#define MESSAGE_EXPORTED "f77be770db6842b1a26b9c01a833cef4" /* an export was written */
#define MESSAGE_NOT_EXPORTED                                                                               \
        "9a5b32e384c446f3b16f214115942f98" /* an export could not be written, or could not be if it had to \
                                            */
#define MESSAGE_RELOADED "abdac063874845129edb410d30c7a9e6" /* a new configuration is in use */
#define MESSAGE_NOT_RELOADED \
        "a51b5fbf08be4725a6fc23c7e35ba3dc" /* the new configuration is invalid; the old one stays in use */
#define MESSAGE_HELD  "56af6155a93b42f7bbe588bf9d60f7bc" /* the back-off of an earlier run continues */
#define MESSAGE_ASKED "222f68eed4ec4cf39e0c4c2255a27fec" /* an operator's request through the control API */
#define MESSAGE_REFUSED                                                                    \
        "e9ca71bab0714e5eab38f0f75edd40e2" /* the same, and it was not in the state for it \
                                            */
#define MESSAGE_REVOKED     "da6bbb45cbea4424a197c8597be647df" /* a certificate was revoked at the Connector */
#define MESSAGE_NOT_REVOKED "e7a8a15f7a3848ef9aca9fdcc5272465" /* a certificate could not be revoked */
#define MESSAGE_ROLLED_BACK "d1718d5b9569445ea03412d0cc873da2" /* an older generation is current again */
#define MESSAGE_NOTIFYING \
        "1a84f8ae0c1d42339c561be93f0b7c28" /* all dependents are notified of the current set again */
#define MESSAGE_SUBJECT \
        "95c5cf715fced5dfe70e9f754c7922c9" /* the certificate has another subject than before */
#define MESSAGE_OTHER_CA \
        "270970d1b7ac4679b497759c6e876c06" /* a Connector signs with another CA than before */
#define MESSAGE_ACCEPTED         "97c977c0ae5bc13d2d3fc00e72b169a2" /* an operator accepts another subject */
#define MESSAGE_COPIED           "9061f56b9684fd9bc134dae5d6d2afa3" /* the state is that of another machine */
#define MESSAGE_PROBED           "dfef34003f5e4a55be59ca65cde5de86" /* the Connector accepts the certificate in use */
#define MESSAGE_NOT_PROBED       "c715e86ccd0d4df7a530e07bdad3bb79" /* it rejects it, or that is unknown */
#define MESSAGE_OPERATION_FAILED "02e2dae20dde4764b561868cc4e921fb" /* an operator's request failed */
