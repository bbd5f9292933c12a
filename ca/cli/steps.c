#include "ca/cli/steps.h"

static void print_step(struct session *session, enum reason reason, enum phase phase) {
        const char *tutorial = step_rows[phase].tutorial[reason];
        const char *none = reason == REASON_NEW_KEY ? "none: the tutorial has no such rotation" : "none";

        session_say(session, "  %-9s %s", phase_names[phase], step_text(reason, phase));
        session_say(session, "            why: %s", step_why(reason, phase));
        session_say(session, "            tutorial: %s", tutorial ? tutorial : none);
}

static json_t *describe_steps(enum reason reason, enum phase from) {
        json_t *list = json_array();

        for (enum phase phase = from; phase <= PHASE_RETIRED; phase++)
                json_array_append_new(list,
                                      json_pack("{s:s,s:s,s:s,s:s*}", "phase", phase_names[phase], "what",
                                                step_text(reason, phase), "why", step_why(reason, phase),
                                                "tutorial", step_rows[phase].tutorial[reason]));
        return list;
}

void steps_print(struct session *session, enum reason reason, enum phase from, enum phase until) {
        json_object_set_new(session->answer, "steps", describe_steps(reason, from));
        if (session->options->json)
                return;
        for (enum phase phase = from; phase <= until; phase++)
                print_step(session, reason, phase);
}
