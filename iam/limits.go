package iam

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"sluice/codec"
)

// What callers may put into a record. The reference bounds nothing; rows of
// its making are read whatever their size.
const (
	// maxIDTextBytes bounds workspace ids and user names.
	maxIDTextBytes = 255
	// maxNameBytes bounds names of users, workspaces and keys.
	maxNameBytes = 1024
	// maxEmailBytes is what mail allows.
	maxEmailBytes = 320
	// maxPasswordBytes bounds new passwords.
	maxPasswordBytes = 1024
)

// knownRoles are the roles that grant anything.
var knownRoles = []string{RoleAdmin, "reader", "writer"}

// checkText refuses text that is too long, or that cannot be shown on one line.
func checkText(member, text string, limit int) error {
	if len(text) > limit {
		return invalid(fmt.Sprintf("%s is longer than %d bytes", member, limit))
	}
	if strings.ContainsFunc(text, isControl) {
		return invalid(member + " contains control characters")
	}
	return nil
}

// isControl also knows the two line ends that are no control characters.
func isControl(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }

// checkRoles refuses roles that nobody knows, unless the user has them already.
func checkRoles(roles, stored []string) error {
	for _, role := range roles {
		if !slices.Contains(knownRoles, role) && !slices.Contains(stored, role) {
			return invalid("unknown role: " + pythonLiteral(role))
		}
	}
	return nil
}

func checkNewUser(in *codec.IAMUserInput) error {
	if err := checkText("user.username", in.Username, maxIDTextBytes); err != nil {
		return err
	}
	return checkUserChange(in, nil)
}

// checkUserChange checks what may be given later too. Roles that the user has
// stored are no news.
func checkUserChange(in *codec.IAMUserInput, stored []string) error {
	if err := checkText("user.name", in.Name, maxNameBytes); err != nil {
		return err
	}
	if err := checkText("user.email", in.Email, maxEmailBytes); err != nil {
		return err
	}
	return checkRoles(in.Roles, stored)
}

func checkNewWorkspace(in *codec.IAMWorkspaceInput) error {
	if err := checkText("workspace_record.id", in.ID, maxIDTextBytes); err != nil {
		return err
	}
	return checkText("workspace_record.name", in.Name, maxNameBytes)
}

// checkPassword applies the password policy to a new password. Any character
// will do.
func (s *Service) checkPassword(member, password string) error {
	if len(password) > maxPasswordBytes {
		return invalid(fmt.Sprintf("%s is longer than %d bytes", member, maxPasswordBytes))
	}
	if least := s.cfg.MinPasswordLength; utf8.RuneCountInString(password) < least {
		return &codec.ServiceError{Type: typeWeakPassword, Message: fmt.Sprintf("%s must have at least %d characters", member, least)}
	}
	return nil
}
