/// A form of a mapping that has several, told apart by their keys.
public struct Form<Value: Sendable>: Sendable {
    /// The key by which it is found among the others.
    let subject: String
    /// The key whose value says which of the forms with this subject it is, and what it says.
    let word: (key: String, text: String)?
    /// The key that this form has, and the next with the same subject has not.
    let distinction: String?
    /// What it may be.
    var format: Format<Value>

    /// The form whose `subject` is there.
    public init(_ subject: String, _ format: Format<Value>, having distinction: String? = nil) {
        self.subject = subject
        self.format = format
        self.distinction = distinction
        word = nil
    }

    /// The form whose key `key`, by itself the `subject`, says `text`.
    public init<each Field: Sendable>(
        _ subject: String,
        by key: String? = nil,
        says text: String,
        _ documentation: String,
        _ field: repeat Key<each Field>,
        make: @escaping @Sendable (repeat each Field) throws(ConfigurationError) -> Value
    ) {
        let key = key ?? subject
        let word = KeyEntry(key, ["enum": [.string(text)]], documentation, isRequired: true)
        let others = Key<Value>.merged(repeat each field, make: make)
        self.subject = subject
        self.word = (key, text)
        distinction = nil
        format = .mapping(Key([word] + others.entries, others.read))
    }

    /// The form of what is made of the value.
    public func map<Other>(
        _ transform: @escaping @Sendable (Value, SourceLocation) throws(ConfigurationError) -> Other
    ) -> Form<Other> {
        Form<Other>(subject: subject, word: word, distinction: distinction, format: format.map(transform))
    }

    /// The same with exactly one of these groups of keys, in the schema.
    public func exactlyOne(of groups: [[String]]) -> Form {
        Form(subject: subject, word: word, distinction: distinction, format: format.exactlyOne(of: groups))
    }

    private init(subject: String, word: (key: String, text: String)?, distinction: String?, format: Format<Value>) {
        self.subject = subject
        self.word = word
        self.distinction = distinction
        self.format = format
    }
}

extension Form {
    fileprivate func isMeant(by section: ConfigurationSection) -> Bool {
        distinction.map { section.keys.contains($0) } ?? true
    }
}

extension Format {
    /// A mapping in one of several forms. It has the subject of exactly one.
    public static func forms(of what: String, _ forms: [Form<Value>]) -> Format {
        let subjects = forms.map(\.subject).reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }
        return Format(["anyOf": .array(forms.map(\.format.schema))]) { (node, site) throws(ConfigurationError) in
            var section = try ConfigurationSection(node)
            let there = section.keys.filter { subjects.contains($0) }
            guard there.count == 1 else {
                throw ConfigurationError(
                    "\(what) has exactly one of the keys \(subjects.joined(separator: ", "))",
                    at: section.location
                )
            }
            let candidates = forms.filter { $0.subject == there[0] }
            if let key = candidates[0].word?.key {
                let words = candidates.compactMap { form in form.word.map { (key: $0.text, value: form) } }
                guard let form = try section.choice(key, among: words) else { throw section.missing(key) }
                return try form.format.read(node, site)
            }
            guard let form = candidates.first(where: { $0.isMeant(by: section) }) else {
                throw section.missing(there[0])
            }
            return try form.format.read(node, site)
        }
    }
}
