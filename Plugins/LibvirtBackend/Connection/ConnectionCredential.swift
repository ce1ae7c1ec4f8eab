#if Libvirt

/// What libvirt wants to know of whoever connects.
public struct ConnectionCredential: Sendable, Hashable {
    /// What kind of answer it is: `virConnectCredentialType`.
    public enum Kind: Int32, Sendable, Hashable, CaseIterable {
        /// The name of the identity to act as, and of the one to authenticate.
        case userName = 1
        case authenticationName = 2
        /// Languages (RFC 1766), and a random number that is used once.
        case language = 3
        case nonce = 4
        /// A secret.
        case passphrase = 5
        /// An answer to a challenge, which may be shown or not while it is typed.
        case echoedAnswer = 6
        case hiddenAnswer = 7
        /// The realm of the authentication.
        case realm = 8
        /// What is asked outside of this process, as by an agent of polkit.
        case external = 9
    }

    /// What kind of answer it is.
    public let kind: Kind
    /// What a person would be asked.
    public let prompt: String
    /// What the other side wants answered, where it says.
    public let challenge: String?
    /// What is answered where nobody knows better, where there is such.
    public let standardAnswer: String?
}

#endif
