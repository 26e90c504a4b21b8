import sys

from ovms_standin.server import main

sys.exit(main(sys.argv))
