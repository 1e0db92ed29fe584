"""What a picker loads before it serves."""

import subprocess
import sys


def test_the_client_for_redis_is_loaded_only_where_there_is_one() -> None:
    subprocess.run([sys.executable, "-c", "import sys, epp.__main__; assert 'redis' not in sys.modules"], check=True)
