package cassandra

import (
	"context"
	"errors"
	"fmt"
	"strings"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"sluice/iam"
)

var (
	// ErrUnavailable: the store cannot be used at the moment, and can be asked
	// again. After a write it means that the outcome is unknown.
	ErrUnavailable = errors.New("Cassandra is not available")
	// ErrTables: the keyspace or its tables are missing, or not those of this
	// store, and it cannot or must not change that.
	ErrTables = errors.New("Cassandra's tables cannot be used")
	// ErrLogin: the cluster refuses the user name and password, or that role's
	// access.
	ErrLogin = errors.New("Cassandra refuses access")
)

// refusals are the answers that asking again does not change.
var refusals = map[int]error{
	gocql.ErrCodeCredentials:   ErrLogin,
	gocql.ErrCodeUnauthorized:  ErrLogin,
	gocql.ErrCodeInvalid:       ErrTables,
	gocql.ErrCodeConfig:        ErrTables,
	gocql.ErrCodeSyntax:        errRefused,
	gocql.ErrCodeProtocol:      errRefused,
	gocql.ErrCodeAlreadyExists: errRefused,
}

var errRefused = errors.New("Cassandra refuses a statement")

// failure gives a driver's error its meaning. Texts of the cluster name tables,
// roles and nodes, never what was to be stored.
func failure(err error) error {
	if err == nil || isFailure(err) || errors.Is(err, context.Canceled) {
		return err
	}
	var answer gocql.RequestError
	if errors.As(err, &answer) {
		if kind := refusals[answer.Code()]; kind != nil {
			return fmt.Errorf("%w: %s", kind, answer.Message())
		}
	}
	if strings.HasPrefix(err.Error(), "authentication required") {
		return fmt.Errorf("%w: %w", ErrLogin, err) // of no type: there is no login, and the node wants one
	}
	var marshal gocql.MarshalError
	var unmarshal gocql.UnmarshalError
	if errors.As(err, &marshal) || errors.As(err, &unmarshal) {
		return fmt.Errorf("%w: a column is not of the expected type", ErrTables)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// isFailure reports whether err has its meaning already.
func isFailure(err error) bool {
	for _, known := range []error{
		ErrUnavailable, ErrTables, ErrLogin, errRefused,
		iam.ErrNotFound, iam.ErrExists, iam.ErrDisabled, iam.ErrChanged, iam.ErrLastAdmin,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// notBegun reports whether a statement surely had no effect: it was not sent, or
// too few replicas were there to begin with.
func notBegun(err error) bool {
	for _, known := range []error{gocql.ErrNoConnections, gocql.ErrNoStreams, gocql.ErrSessionClosed, errNotConnected} {
		if errors.Is(err, known) {
			return true
		}
	}
	var few *gocql.RequestErrUnavailable
	return errors.As(err, &few)
}
