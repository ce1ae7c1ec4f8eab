#if Libvirt

/// An element of an XML document, as a value.
package struct XMLElement: Sendable, Hashable {
    /// A name with its value.
    package struct Attribute: Sendable, Hashable {
        package var name: String
        package var value: String
    }

    /// What is between an element's tags.
    package enum Node: Sendable, Hashable {
        case element(XMLElement)
        case text(String)
    }

    /// The name, with its prefix where it has one.
    package var name: String
    /// The attributes, in their order.
    package var attributes: [Attribute]
    /// What the element contains, in its order.
    package var children: [Node]

    /// An element with the given attributes and elements within.
    package init(_ name: String, _ attributes: KeyValuePairs<String, String> = [:], _ elements: [XMLElement] = []) {
        self.name = name
        self.attributes = attributes.map { Attribute(name: $0.key, value: $0.value) }
        children = elements.map { .element($0) }
    }

    /// An element that contains text.
    package init(_ name: String, _ attributes: KeyValuePairs<String, String> = [:], text: String) {
        self.init(name, attributes)
        children = [.text(text)]
    }

    /// An attribute's value; `nil` where there is none of that name. Setting `nil` removes it.
    package subscript(attribute: String) -> String? {
        get { attributes.first { $0.name == attribute }?.value }
        set {
            attributes.removeAll { $0.name == attribute }
            if let newValue { attributes.append(Attribute(name: attribute, value: newValue)) }
        }
    }

    /// The elements within, of one name or all.
    package func elements(_ name: String? = nil) -> [XMLElement] {
        children.compactMap { child in
            guard case .element(let element) = child, name == nil || element.name == name else { return nil }
            return element
        }
    }

    /// The first element at the end of a path of names.
    package func first(_ path: String...) -> XMLElement? {
        path.reduce(self) { $0?.elements($1).first }
    }

    /// The text within, without that of elements within.
    package var content: String {
        children.reduce("") { text, child in
            if case .text(let more) = child { text + more } else { text }
        }
    }
}

#endif
