package tokens

import (
	"errors"
	"fmt"
)

// Why a credential has ended. Callers only ever see "Invalid Token".
var (
	errClientDeleted    = errors.New("its client has been deleted")
	errClientSuspended  = errors.New("its client is suspended")
	errSecretRevoked    = errors.New("the secret that it was made with has been revoked")
	errFamilyEnded      = errors.New("its family was ended: a refresh token of it was revoked, or used a second time")
	errTokenRevoked     = errors.New("it has been revoked")
	errTokenRotated     = errors.New("another one has taken its place")
	errTokenGone        = errors.New("there is no record of it, or none yet")
	errAPIKeyGone       = errors.New("the API key has been deleted")
	errAPIKeyForeignAPI = errors.New("the API key is for other APIs")
)

// stand fills in what the registry says of a credential at this moment: whose it is,
// and whether it has ended. It is the one place where that is decided; what time
// alone ends, expiry, is for the gate.
func stand(id *Identity) error {
	t := id.Token
	switch {
	case t.Trust == apiKeyTrust:
		return t.registry.standKey(id)
	case !t.Trust.Own:
		return nil
	}
	if id.Client = t.client.Client(); id.Client == nil {
		return errClientDeleted
	}
	r := t.registry
	r.mu.RLock()
	grant := r.grants[t.ID]
	id.Grant = grant
	_, familyEnded := r.families[t.Family]
	r.mu.RUnlock()
	switch {
	case id.Client.Suspended:
		return errClientSuspended
	case t.Generation <= id.Client.Ended:
		return errSecretRevoked
	case familyEnded:
		return errFamilyEnded
	case grant == nil && (t.opaque || t.Recorded):
		return errTokenGone
	case grant != nil && !grant.RevokedAt.IsZero():
		return errTokenRevoked
	case grant != nil && t.Recorded && t.Rotation != grant.rotation() && t.Rotation != grant.rotation()-1:
		return errTokenRotated
	}
	return nil
}

func (r *Registry) standKey(id *Identity) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if id.Key = r.apiKeys[id.Token.ID]; id.Key == nil {
		return errAPIKeyGone
	}
	return nil
}

// Admits reports why an identity may not use an API, nil if it may. It asks only
// API keys: which APIs they are for, and whether their account has moved on to
// OAuth 2.0 there (row I5).
func (id *Identity) Admits(api string) error {
	switch {
	case id.Key == nil:
		return nil
	case !id.Key.For(api):
		return errAPIKeyForeignAPI
	case id.Token.registry.Moved(id.Key.Account, api):
		return fmt.Errorf("the account %s uses OAuth 2.0 at the API %s: its API keys are refused there", id.Key.Account, api)
	}
	return nil
}

// Moved reports whether the account uses OAuth 2.0 at an API.
func (id *Identity) Moved(api string) bool { return id.Token.registry.Moved(id.Account(), api) }
