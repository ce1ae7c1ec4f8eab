// swift-tools-version: 6.2
import PackageDescription

/// Settings every Swift target shares: the language as strict as this toolchain can make it.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

let package = Package(
    name: "custody",
    products: [
        .library(name: "Custody", targets: ["Custody"]),
        .library(name: "CustodyProtocols", targets: ["CustodyProtocols"]),
        .library(name: "CustodyChecker", targets: ["CustodyChecker"]),
    ],
    targets: [
        .target(name: "Custody", swiftSettings: strict),
        .target(name: "CustodyProtocols", swiftSettings: strict),
        .target(name: "CustodyChecker", dependencies: ["CustodyProtocols"], swiftSettings: strict),
        .testTarget(name: "CustodyProtocolsTests", dependencies: ["CustodyProtocols"], swiftSettings: strict),
        .testTarget(
            name: "CustodyCheckerTests",
            dependencies: ["CustodyChecker", "CustodyProtocols"],
            swiftSettings: strict
        ),
    ]
)
