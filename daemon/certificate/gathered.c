/* Nothing but memory: what is in it is freed, and secrets are cleansed. */

#include "daemon/certificate/gathered.h"

#include "daemon/certificate/key-maker.h"

void gathered_clear(struct gathered *gathered) {
        key_order_unref(gathered->input.next_key);
        set_clear(&gathered->set);
        shared_copy_clear(&gathered->shared.copy);
        stage_clear(&gathered->stage);
        store_close(gathered->store);
        free_secret(gathered->token);
        free_secret(gathered->offered_token);
        free(gathered->findings.token_problem);
        free(gathered->revoked);
        connection_clear(&gathered->connection);
        protocol_configuration_clear(&gathered->configuration);
        protocol_certificates_clear(&gathered->reply);
        free(gathered->current_url);
        free(gathered->answered_url);
        free(gathered->adopted);
        free(gathered->subjects.last);
        free(gathered->subjects.accepted);
        free(gathered->subject);
        free(gathered->next_subject);
        store_rights_clear(&gathered->rights);
        free(gathered->warning);
        error_clear(&gathered->outcome.error);
}

void gathered_begin_step(struct gathered *gathered, enum renewal_step step) {
        struct outcome *outcome = &gathered->outcome;

        error_clear(&outcome->error);
        outcome->step = step;
        outcome->failure = FAILURE_NONE;
        outcome->cause = CAUSE_NONE;
        outcome->retry_after_usec = 0;
        outcome->not_longer = outcome->is_doubtful = outcome->is_unheard = outcome->key_too_small = false;
        outcome->is_other_subject = outcome->is_token_good = outcome->is_token_sent = false;
        gathered->key_cpu_usec = 0;
}
