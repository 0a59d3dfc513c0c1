from netally.api.app import main

main()
