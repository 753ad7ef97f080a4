package cassandra

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// column is a column as system_schema describes it.
type column struct{ name, kind, cqlType string }

const (
	partition  = "partition_key"
	clustering = "clustering"
	regular    = "regular"
)

type table struct {
	name    string
	columns []column
}

// tables are those of the reference (iam.md section 3.2), to the letter. Keys
// come first in each.
var tables = []table{
	{"iam_workspaces", []column{
		{"id", partition, "text"}, {"name", regular, "text"}, {"enabled", regular, "boolean"}, {"created", regular, "timestamp"},
	}},
	{"iam_users", []column{
		{"id", partition, "text"}, {"workspace", regular, "text"}, {"username", regular, "text"}, {"name", regular, "text"},
		{"email", regular, "text"}, {"password_hash", regular, "text"}, {"roles", regular, "set<text>"},
		{"enabled", regular, "boolean"}, {"must_change_password", regular, "boolean"}, {"created", regular, "timestamp"},
	}},
	{"iam_users_by_username", []column{
		{"workspace", partition, "text"}, {"username", clustering, "text"}, {"user_id", regular, "text"},
	}},
	{"iam_api_keys", []column{
		{"key_hash", partition, "text"}, {"id", regular, "text"}, {"user_id", regular, "text"}, {"name", regular, "text"},
		{"prefix", regular, "text"}, {"expires", regular, "timestamp"}, {"created", regular, "timestamp"}, {"last_used", regular, "timestamp"},
	}},
	{"iam_signing_keys", []column{
		{"kid", partition, "text"}, {"private_pem", regular, "text"}, {"public_pem", regular, "text"},
		{"created", regular, "timestamp"}, {"retired", regular, "timestamp"},
	}},
}

// indexed are the columns of iam_api_keys with an index.
var indexed = []string{"user_id", "id"}

// schema makes what is missing and looks at what is there. It asks first: a role
// that may not create anything can use tables that somebody else has made.
type schema struct {
	options *Options
	session *gocql.Session
}

// prepare makes sure of keyspace, tables and indexes.
func (s *Store) prepare(ctx context.Context, session *gocql.Session) error {
	c := schema{options: &s.o, session: session}
	for _, step := range []func(context.Context) error{c.keyspace, c.tables, c.indexes} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// names lists one column of a system table, for this keyspace.
func (c schema) names(ctx context.Context, of string) ([]string, error) {
	column := strings.TrimSuffix(of, "s") + "_name"
	query := fmt.Sprintf(`SELECT %s FROM system_schema.%s WHERE keyspace_name = ?`, column, of)
	rows := reading(c.session.Query(query, c.options.Keyspace)).IterContext(ctx)
	var out []string
	for name := ""; rows.Scan(&name); {
		out = append(out, name)
	}
	return out, failure(rows.Close())
}

func (c schema) keyspace(ctx context.Context) error {
	there, err := c.names(ctx, "keyspaces")
	if err != nil || len(there) > 0 {
		return err
	}
	return c.create(ctx, "keyspace "+c.options.Keyspace,
		fmt.Sprintf(`CREATE KEYSPACE IF NOT EXISTS %q WITH replication = %s`, c.options.Keyspace, c.replication()))
}

// replication is the reference's unless options say otherwise.
func (c schema) replication() string {
	if len(c.options.Replication) == 0 {
		return fmt.Sprintf(`{'class': 'SimpleStrategy', 'replication_factor': %d}`, max(1, c.options.ReplicationFactor))
	}
	var out strings.Builder
	out.WriteString(`{'class': 'NetworkTopologyStrategy'`)
	for name, factor := range c.options.Replication {
		fmt.Fprintf(&out, `, '%s': %d`, name, factor)
	}
	return out.String() + "}"
}

func (c schema) tables(ctx context.Context) error {
	there, err := c.names(ctx, "tables")
	if err != nil {
		return err
	}
	for _, t := range tables {
		if !slices.Contains(there, t.name) {
			err = c.create(ctx, "table "+t.name, c.createTable(t))
		}
		if err != nil {
			return err
		}
	}
	return c.check(ctx)
}

func (c schema) createTable(t table) string {
	var columns, key []string
	for _, col := range t.columns {
		columns = append(columns, col.name+" "+col.cqlType)
		if col.kind != regular {
			key = append(key, col.name)
		}
	}
	return fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %q.%s (%s, PRIMARY KEY (%s))`,
		c.options.Keyspace, t.name, strings.Join(columns, ", "), strings.Join(key, ", "))
}

// check compares the tables with those expected. Further columns are nobody's
// harm.
func (c schema) check(ctx context.Context) error {
	rows := reading(c.session.Query(`SELECT table_name, column_name, kind, type FROM system_schema.columns WHERE keyspace_name = ?`,
		c.options.Keyspace)).IterContext(ctx)
	there := make(map[string][]column)
	var name string
	for col := (column{}); rows.Scan(&name, &col.name, &col.kind, &col.cqlType); {
		there[name] = append(there[name], col)
	}
	if err := rows.Close(); err != nil {
		return failure(err)
	}
	if slices.Contains(there["iam_users_by_username"], column{"username", partition, "text"}) {
		return fmt.Errorf("%w: keyspace %s is TrustGraph 2.8's: its user names are not by workspace; stay with that service, or use another keyspace",
			ErrTables, c.options.Keyspace)
	}
	for _, t := range tables {
		for _, col := range t.columns {
			if !slices.Contains(there[t.name], col) {
				return fmt.Errorf("%w: %s has no column %s (%s, %s)", ErrTables, t.name, col.name, col.kind, col.cqlType)
			}
		}
	}
	return nil
}

func (c schema) indexes(ctx context.Context) error {
	rows := reading(c.session.Query(`SELECT options FROM system_schema.indexes WHERE keyspace_name = ? AND table_name = 'iam_api_keys'`,
		c.options.Keyspace)).IterContext(ctx)
	var targets []string
	for options := map[string]string(nil); rows.Scan(&options); {
		targets = append(targets, options["target"])
	}
	if err := rows.Close(); err != nil {
		return failure(err)
	}
	for _, column := range indexed {
		if slices.Contains(targets, column) {
			continue
		}
		name := "iam_api_keys_" + column + "_idx"
		err := c.create(ctx, "index "+name,
			fmt.Sprintf(`CREATE INDEX IF NOT EXISTS %s ON %q.iam_api_keys (%s)`, name, c.options.Keyspace, column))
		if err != nil {
			return err
		}
	}
	return nil
}

// create runs a statement that changes the schema, and waits until all nodes know.
func (c schema) create(ctx context.Context, what, statement string) error {
	if c.options.MustExist {
		return fmt.Errorf("%w: %s is missing", ErrTables, what)
	}
	err := failure(c.session.Query(statement).ExecContext(ctx))
	if errors.Is(err, ErrLogin) {
		return fmt.Errorf("%w: %s is missing, and this role may not create it", ErrTables, what)
	}
	if err != nil {
		return fmt.Errorf("creating %s: %w", what, err)
	}
	return failure(c.session.AwaitSchemaAgreement(ctx))
}
