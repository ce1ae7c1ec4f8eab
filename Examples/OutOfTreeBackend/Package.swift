// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "out-of-tree-backend",
    dependencies: [
        // Outside of this repository: .package(url: "https://github.com/…/custody", from: "0.1.0")
        .package(name: "custody", path: "../..")
    ],
    targets: [
        .executableTarget(
            name: "OutOfTree",
            dependencies: [
                .product(name: "Custody", package: "custody"),
                .product(name: "CustodyConfiguration", package: "custody"),
                .product(name: "CustodyOptions", package: "custody"),
                .product(name: "CustodyScenario", package: "custody"),
            ]
        )
    ]
)
