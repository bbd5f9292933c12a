#pragma once

/* What the files of config share. No other file includes this. */

#include "lib/config/config.h"
#include "lib/config/yaml-table.h"

/* For the rows of tables. */
#define FIELD(type, field) .offset = offsetof(struct type, field)
#define INHERITED(field)   .inherits = true, .inherit_offset = offsetof(struct config, defaults.field)
#define WORDS(array)       .words = (array), .n_words = ELEMENTSOF(array)
#define OPTIONS(array)     .options = (array), .n_options = ELEMENTSOF(array)
#define DAYS(n)            ((n)*USEC_PER_DAY)

/* The types of its own; the comment names the field. */
extern const struct yaml_type config_key_type;       /* none */
extern const struct yaml_type config_key_size;       /* unsigned; bits */
extern const struct yaml_type config_key_mode;       /* mode_t; keeps others out */
extern const struct yaml_type config_export_mode;    /* mode_t; 0: not set */
extern const struct yaml_type config_directory;      /* char *; a path in its one spelling */
extern const struct yaml_type config_file;           /* char *; the same for a file */
extern const struct yaml_type config_secret_file;    /* char *; a path, or one of systemd's credentials */
extern const struct yaml_type config_secret_name;    /* char *; NAMESPACE/NAME of a Kubernetes Secret */
extern const struct yaml_type config_store_name;     /* char *; one with room for the name beside it */
extern const struct yaml_type config_subject;        /* char *; one that subject_parse() reads */
extern const struct yaml_type config_timestamp;      /* usec_t; 0: not set */
extern const struct yaml_type config_unit;           /* char *; with its suffix */
extern const struct yaml_type config_http_url;       /* char * */
extern const struct yaml_type config_listen;         /* char *; a numeric address and a port */
extern const struct yaml_type config_metrics_file;   /* char *; a path that ends with .prom */
extern const struct yaml_type config_connector_name; /* struct config_connector *, borrowed */

extern const struct yaml_table config_connector_table, config_notify_table;

/* Checks of one entry; members of the tables. */
void config_check_connector(struct yaml_run *run, void *object, const struct yaml_node *node,
                            struct yaml_place place);
void config_check_export(struct yaml_run *run, void *object, const struct yaml_node *node,
                         struct yaml_place place);
void config_check_certificate(struct yaml_run *run, void *object, const struct yaml_node *node,
                              struct yaml_place place);

/* Checks of the whole, after all tables are filled. */
void config_check_paths(struct yaml_run *run, const struct config *config);
void config_check_stores(struct yaml_run *run, const struct config *config);
void config_check(struct yaml_run *run, const struct config *config);
