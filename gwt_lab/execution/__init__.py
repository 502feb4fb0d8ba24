"""From a parent order to child orders: order-book simulator, environment, schedules, policies."""
