/*
 * The schema of the Connector. The executor, the validator and introspection all read the same rows; there is
 * no second description to keep in step. Interfaces, unions, enumerations and input objects do not occur and
 * are not modelled, so a fragment fits exactly one type.
 */

#include "devconnector/graphql/graphql-schema.h"

#include <ctype.h>

#define FIELD(field_name, field_type) \
        { .name = (field_name), .type = (field_type) }
#define FIELD_OF(field_name, field_type, takes, takes_type) \
        { .name = (field_name), .type = (field_type), .argument = (takes), .argument_type = (takes_type) }

static const struct graphql_field query_fields[] = {
        FIELD("configuration", "Configuration!"),
        { 0 },
};

static const struct graphql_field mutation_fields[] = {
        FIELD_OF("signCertificateSigningRequest", "CertificationResult!", "csr", "String!"),
        FIELD("revokeCertificate", "Boolean!"),
        { 0 },
};

static const struct graphql_field configuration_fields[] = {
        FIELD("token", "Token"),
        FIELD("certificateSigningRequestInfo", "CertificateSigningRequestInfo"),
        FIELD("managementPlaneInfo", "ManagementPlaneInfo"),
        { 0 },
};

static const struct graphql_field token_fields[] = {
        FIELD("token", "String!"),
        { 0 },
};

static const struct graphql_field certificatesigningrequestinfo_fields[] = {
        FIELD("subject", "String!"),
        FIELD("keyAlgorithm", "String!"),
        { 0 },
};

static const struct graphql_field managementplaneinfo_fields[] = {
        FIELD("directorURL", "String"),
        FIELD("certificateSecuredConnectorURL", "String"),
        { 0 },
};

static const struct graphql_field certificationresult_fields[] = {
        FIELD("certificateChain", "String!"),
        FIELD("caCertificate", "String!"),
        FIELD("clientCertificate", "String!"),
        { 0 },
};

static const struct graphql_field schema_type_fields[] = {
        FIELD("description", "String"),
        FIELD("types", "[__Type!]!"),
        FIELD("queryType", "__Type!"),
        FIELD("mutationType", "__Type"),
        FIELD("subscriptionType", "__Type"),
        FIELD("directives", "[__Directive!]!"),
        { 0 },
};

static const struct graphql_field type_fields[] = {
        FIELD("kind", "__TypeKind!"),
        FIELD("name", "String"),
        FIELD("description", "String"),
        FIELD("specifiedByURL", "String"),
        FIELD_OF("fields", "[__Field!]", "includeDeprecated", "Boolean"),
        FIELD("interfaces", "[__Type!]"),
        FIELD("possibleTypes", "[__Type!]"),
        FIELD_OF("enumValues", "[__EnumValue!]", "includeDeprecated", "Boolean"),
        FIELD("inputFields", "[__InputValue!]"),
        FIELD("ofType", "__Type"),
        { 0 },
};

static const struct graphql_field field_fields[] = {
        FIELD("name", "String!"),
        FIELD("description", "String"),
        FIELD("args", "[__InputValue!]!"),
        FIELD("type", "__Type!"),
        FIELD("isDeprecated", "Boolean!"),
        FIELD("deprecationReason", "String"),
        { 0 },
};

static const struct graphql_field inputvalue_fields[] = {
        FIELD("name", "String!"),
        FIELD("description", "String"),
        FIELD("type", "__Type!"),
        FIELD("defaultValue", "String"),
        { 0 },
};

static const struct graphql_field enumvalue_fields[] = {
        FIELD("name", "String!"),
        FIELD("description", "String"),
        FIELD("isDeprecated", "Boolean!"),
        FIELD("deprecationReason", "String"),
        { 0 },
};

static const struct graphql_field directive_fields[] = {
        FIELD("name", "String!"),
        FIELD("description", "String"),
        FIELD("locations", "[__DirectiveLocation!]!"),
        FIELD("args", "[__InputValue!]!"),
        FIELD("isRepeatable", "Boolean!"),
        { 0 },
};

static const struct graphql_type types[] = {
        { "Query", query_fields },
        { "Mutation", mutation_fields },
        { "Configuration", configuration_fields },
        { "Token", token_fields },
        { "CertificateSigningRequestInfo", certificatesigningrequestinfo_fields },
        { "ManagementPlaneInfo", managementplaneinfo_fields },
        { "CertificationResult", certificationresult_fields },
        { "__Schema", schema_type_fields },
        { "__Type", type_fields },
        { "__Field", field_fields },
        { "__InputValue", inputvalue_fields },
        { "__EnumValue", enumvalue_fields },
        { "__Directive", directive_fields },
};

static const char *const scalars[] = { "String", "Boolean", "Int", "Float", "ID" };
static const char *const enumerations[] = { "__TypeKind", "__DirectiveLocation" };

/* Selectable on every object, respectively on Query, without being listed in the schema. */
static const struct graphql_field typename_field = { "__typename", "String!", NULL, NULL };
static const struct graphql_field schema_fields[] = {
        { "__schema", "__Schema!", NULL, NULL },
        { "__type", "__Type", "name", "String!" },
};

static bool is_name_character(char c) {
        return isalnum((unsigned char)c) || c == '_';
}

/* The part of a type text that is its name. */
static const char *base_of(const char *type, size_t *ret_size) {
        const char *start = type;
        size_t size = 0;

        while (*start == '[')
                start++;
        while (is_name_character(start[size]))
                size++;
        *ret_size = size;
        return start;
}

bool graphql_same_base(const char *a, const char *b) {
        size_t size_a, size_b;
        const char *base_a = base_of(a, &size_a), *base_b = base_of(b, &size_b);

        return size_a == size_b && memcmp(base_a, base_b, size_a) == 0;
}

static bool is_listed(const char *const *names, size_t n_names, const char *type) {
        for (size_t i = 0; i < n_names; i++)
                if (graphql_same_base(names[i], type))
                        return true;
        return false;
}

const struct graphql_type *graphql_find_type(const char *type) {
        for (size_t i = 0; i < ELEMENTSOF(types); i++)
                if (graphql_same_base(types[i].name, type))
                        return &types[i];
        return NULL;
}

const struct graphql_field *graphql_find_field(const struct graphql_type *type, const char *name) {
        if (streq(name, typename_field.name))
                return &typename_field;
        if (streq(type->name, "Query"))
                for (size_t i = 0; i < ELEMENTSOF(schema_fields); i++)
                        if (streq(name, schema_fields[i].name))
                                return &schema_fields[i];
        for (const struct graphql_field *field = type->fields; field->name; field++)
                if (streq(name, field->name))
                        return field;
        return NULL;
}

bool graphql_type_is_scalar(const char *base) {
        return is_listed(scalars, ELEMENTSOF(scalars), base);
}

bool graphql_type_exists(const char *type) {
        return graphql_find_type(type) || graphql_type_is_scalar(type) ||
               is_listed(enumerations, ELEMENTSOF(enumerations), type);
}

static const char *kind_of(const char *base) {
        if (graphql_find_type(base))
                return "OBJECT";
        return graphql_type_is_scalar(base) ? "SCALAR" : "ENUM";
}

/* A reference to a type: the marks around its name become wrapping types. END is one past the text. */
static json_t *describe_reference(const char *type, size_t size) {
        if (size > 0 && type[size - 1] == '!')
                return json_pack("{s:s,s:n,s:o}", "kind", "NON_NULL", "name", "ofType",
                                 describe_reference(type, size - 1));
        if (size > 0 && type[0] == '[')
                return json_pack("{s:s,s:n,s:o}", "kind", "LIST", "name", "ofType",
                                 describe_reference(type + 1, size - 2));
        return json_pack("{s:s,s:s%,s:n}", "kind", kind_of(type), "name", type, size, "ofType");
}

static json_t *describe_argument(const char *name, const char *type) {
        return json_pack("{s:s,s:n,s:o,s:n}", "name", name, "description", "type",
                         describe_reference(type, strlen(type)), "defaultValue");
}

static json_t *describe_field(const struct graphql_field *field) {
        _cleanup_(json_decrefp) json_t *arguments = json_array();

        if (field->argument &&
            json_array_append_new(arguments, describe_argument(field->argument, field->argument_type)) < 0)
                return NULL;
        return json_pack("{s:s,s:n,s:O,s:o,s:b,s:n}", "name", field->name, "description", "args", arguments,
                         "type", describe_reference(field->type, strlen(field->type)), "isDeprecated", 0,
                         "deprecationReason");
}

static json_t *describe_object(const struct graphql_type *type) {
        _cleanup_(json_decrefp) json_t *fields = json_array();

        for (const struct graphql_field *field = type->fields; field->name; field++)
                if (json_array_append_new(fields, describe_field(field)) < 0)
                        return NULL;
        return json_pack("{s:s,s:s,s:n,s:O,s:[],s:n,s:n,s:n,s:n}", "kind", "OBJECT", "name", type->name,
                         "description", "fields", fields, "interfaces", "possibleTypes", "enumValues",
                         "inputFields", "ofType");
}

/* Also for enumerations, whose values no client of the Connector asks for: the list is empty. */
static json_t *describe_leaf(const char *name) {
        bool scalar = graphql_type_is_scalar(name);

        return json_pack("{s:s,s:s,s:n,s:n,s:n,s:n,s:o,s:n,s:n}", "kind", scalar ? "SCALAR" : "ENUM", "name",
                         name, "description", "fields", "interfaces", "possibleTypes", "enumValues",
                         scalar ? json_null() : json_array(), "inputFields", "ofType");
}

json_t *graphql_introspect_type(const char *name) {
        const struct graphql_type *type = graphql_find_type(name);

        if (type)
                return describe_object(type);
        return graphql_type_exists(name) ? describe_leaf(name) : json_null();
}

json_t *graphql_introspect_schema(void) {
        _cleanup_(json_decrefp) json_t *all = json_array();

        for (size_t i = 0; i < ELEMENTSOF(types); i++)
                if (json_array_append_new(all, describe_object(&types[i])) < 0)
                        return NULL;
        for (size_t i = 0; i < ELEMENTSOF(scalars); i++)
                if (json_array_append_new(all, describe_leaf(scalars[i])) < 0)
                        return NULL;
        for (size_t i = 0; i < ELEMENTSOF(enumerations); i++)
                if (json_array_append_new(all, describe_leaf(enumerations[i])) < 0)
                        return NULL;
        return json_pack("{s:n,s:O,s:o,s:o,s:n,s:[]}", "description", "types", all, "queryType",
                         graphql_introspect_type("Query"), "mutationType",
                         graphql_introspect_type("Mutation"), "subscriptionType", "directives");
}
