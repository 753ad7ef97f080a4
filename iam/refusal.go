package iam

import "sluice/codec"

// The error types of the wire (iam.md section 6).
const (
	typeInvalid      = "invalid-argument"
	typeNotFound     = "not-found"
	typeDuplicate    = "duplicate"
	typeAuthFailed   = "auth-failed"
	typeNotPermitted = "operation-not-permitted"
	typeInternal     = "internal-error"
	typeWeakPassword = "weak-password"
)

// Refusals that more than one operation gives.
var (
	errInternal            = &codec.ServiceError{Type: typeInternal, Message: "internal error"}
	errBusy                = &codec.ServiceError{Type: typeInternal, Message: "too many password operations, try again later"}
	errSettling            = &codec.ServiceError{Type: typeInternal, Message: "too many changes at once, try again later"}
	errMasked              = authFailed("auth failure")
	errNoUser              = authFailed("no such user")
	errUserDisabled        = authFailed("user disabled")
	errBadCredentials      = authFailed("bad credentials")
	errTooManyAttempts     = authFailed("too many attempts")
	errLastAdmin           = notPermitted(ErrLastAdmin.Error())
	errWorkspaceRequired   = invalid("workspace required")
	errUserIDRequired      = invalid("user_id required")
	errUserNotFound        = notFound("user not found")
	errKeyNotFound         = notFound("api key not found")
	errWorkspaceIDRequired = invalid("workspace_record.id required")
	errWorkspaceNotFound   = notFound("workspace not found")
)

// internalReply is the reply when not even a reply can be written.
var internalReply = []byte(`{"error":{"type":"internal-error","message":"internal error"}}`)

func invalid(message string) *codec.ServiceError {
	return &codec.ServiceError{Type: typeInvalid, Message: message}
}

func notFound(message string) *codec.ServiceError {
	return &codec.ServiceError{Type: typeNotFound, Message: message}
}

func duplicate(message string) *codec.ServiceError {
	return &codec.ServiceError{Type: typeDuplicate, Message: message}
}

func authFailed(message string) *codec.ServiceError {
	return &codec.ServiceError{Type: typeAuthFailed, Message: message}
}

func notPermitted(message string) *codec.ServiceError {
	return &codec.ServiceError{Type: typeNotPermitted, Message: message}
}
