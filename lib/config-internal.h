#pragma once

/* What the files of config share. Nobody else includes this. */

#include "lib/config.h"
#include "lib/yaml-table.h"

/* Checks of one entry; members of the tables. */
void config_check_connector(struct yaml_run *run, void *object, const struct yaml_node *node,
                            struct yaml_place place);
void config_check_notify(struct yaml_run *run, void *object, const struct yaml_node *node,
                         struct yaml_place place);
void config_check_export(struct yaml_run *run, void *object, const struct yaml_node *node,
                         struct yaml_place place);
void config_check_certificate(struct yaml_run *run, void *object, const struct yaml_node *node,
                              struct yaml_place place);

/* Checks of the whole, after all tables are filled. */
void config_check(struct yaml_run *run, const struct config *config);
